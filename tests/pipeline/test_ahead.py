"""Work that is done before it is asked for."""

import threading

import pytest

from glioquery.pipeline.ahead import ahead, found_once


class Slow:
    def __init__(self):
        self.calls = 0
        self.begun, self.may_end = threading.Event(), threading.Event()

    @found_once
    def value(self):
        self.calls += 1
        self.begun.set()
        self.may_end.wait(10)
        return "found"


def test_it_is_done_beside_other_work_and_once():
    slow, seen = Slow(), []
    slow.may_end.set()
    thread = ahead(lambda: seen.append((slow.value, threading.current_thread())))
    thread.join()
    assert slow.value == "found" and slow.calls == 1
    assert seen[0][1] is thread is not threading.current_thread()
    assert thread.daemon  # a command that fails does not wait for it


def test_a_failure_is_left_to_where_the_work_is_needed(capsys):
    def fail():
        raise ValueError("missing")

    ahead(fail).join()
    assert capsys.readouterr() == ("", "")


def test_who_asks_meanwhile_waits_for_what_is_found():
    slow, seen = Slow(), []
    first = ahead(lambda: slow.value)
    assert slow.begun.wait(10)
    second = ahead(lambda: seen.append(slow.value))
    second.join(0.05)
    assert not seen
    slow.may_end.set()
    for thread in (first, second):
        thread.join()
    assert seen == ["found"] and slow.calls == 1


def test_what_could_not_be_found_is_looked_for_again():
    class Failing:
        calls = 0

        @found_once
        def value(self):
            self.calls += 1
            if self.calls == 1:
                raise ValueError("not yet")
            return self.calls

    failing = Failing()
    ahead(lambda: failing.value).join()
    assert failing.value == failing.value == 2
    assert isinstance(Failing.value, found_once)
    with pytest.raises(AttributeError):
        _ = failing.other
