"""What `load_patient` says of files that it refuses."""

import pytest

from glioquery.errors import InputError
from glioquery.pipeline.patient.patient import load_patient


def refusal(**arguments):
    with pytest.raises(InputError) as caught:
        load_patient(**arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message
