"""What finished patients of a cohort leave, without the minute that each takes."""

import json

from glioquery.pipeline.cohort.cohort import PICTURE_FILE, REQUEST_FILE
from glioquery.pipeline.results.outputs import REPORT_FILE
from glioquery.pipeline.results.result_folder import RESULT_FILE, list_files, replaced


def pretend(folder, request, **found):
    """Leave what a finished patient leaves; `found` are fields of its result."""
    outline = {"patient_ml": 20.0}
    result = {
        "status": "plausible match",
        "mean_dice": 0.7,
        "best": {"dice_core": 0.5, "dice_whole": 0.7},
        "answer": {
            "source": "refined growth", "score": 1.4, "dice_core": 0.6, "dice_whole": 0.8,
            "growths": [{"lambda_mm": 3.0, "rho_t": 20.0, "origin_mm": [-100, 100, 80]}],
        },
        "quality": {"brain_dice": 0.98, "core": outline, "whole": outline},
        "problems": [],
        "recurrence": [],
        "timings_s": {"register": 10.0, "query": 2.5},
        "provenance": {"inputs_sha256": request["inputs_sha256"]},
        **found,
    }  # fmt: skip
    with replaced(folder) as stage:
        (stage / REQUEST_FILE).write_text(json.dumps(request))
        (stage / REPORT_FILE).write_text("<html></html>")
        (stage / PICTURE_FILE).write_bytes(b"\x89PNG")
        (stage / RESULT_FILE).write_text(json.dumps({**result, "files": list_files(stage)}))
