"""Work that is done before it is asked for."""

import threading
from functools import cached_property

from glioquery.pipeline.ahead import ahead


class Slow:
    calls = 0

    @cached_property
    def value(self):
        Slow.calls += 1
        return "found"


def test_it_is_done_beside_other_work_and_once():
    slow, seen = Slow(), []
    thread = ahead(lambda: seen.append((slow.value, threading.current_thread())))
    thread.join()
    assert slow.value == "found" and Slow.calls == 1
    assert seen[0][1] is thread is not threading.current_thread()
    assert thread.daemon  # a command that fails does not wait for it


def test_a_failure_is_left_to_where_the_work_is_needed(capsys):
    def fail():
        raise ValueError("missing")

    ahead(fail).join()
    assert capsys.readouterr() == ("", "")
