"""What becomes of tasks whose workers fail or die, with a Ray that is none."""

from types import SimpleNamespace

import pytest

from glioquery.dbgen.machine.tasks import TRIALS, result_of, results_of
from glioquery.errors import FailedError, InputError


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause):
        super().__init__("a traceback")
        self.cause = cause


class Ray:
    """Runs a task, a function without arguments, when its result is asked for."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def get(self, task):
        try:
            return task()
        except RayError:
            raise
        except Exception as error:
            raise RayTaskError(error) from error


def dying(n_deaths):
    left = [n_deaths]

    def task():
        if left[0]:
            left[0] -= 1
            raise RayError("out of memory")
        return "done"

    return task


def failing(error):
    def task():
        raise error

    return task


def test_results_come_in_order_and_a_few_are_under_way():
    begun = []

    def begin(key):
        begun.append(key)
        return lambda: key * key

    results = results_of(Ray(), begin, range(5), ahead=2)
    assert next(results) == (0, 0) and begun == [0, 1]
    assert list(results) == [(1, 1), (2, 4), (3, 9), (4, 16)]


def test_a_task_whose_worker_dies_is_tried_again():
    task = dying(TRIALS - 1)
    assert list(results_of(Ray(), lambda _: task, [7])) == [(7, "done")]


def test_a_worker_that_dies_again_is_said_and_the_rest_is_left_alone():
    # `Ray` has no way to cancel a task: the true one sometimes ends the whole process then.
    tasks = {0: dying(TRIALS), 1: dying(0)}
    with pytest.raises(FailedError, match=r"^a worker died \(out of memory\)$"):
        list(results_of(Ray(), tasks.get, tasks))


def test_what_the_package_says_is_told_as_it_is_and_a_bug_as_one():
    with pytest.raises(InputError, match=r"^a damaged shard$"):
        result_of(Ray(), failing(InputError("a damaged shard")))
    with pytest.raises(RayTaskError):
        result_of(Ray(), failing(KeyError("a bug")))
    with pytest.raises(FailedError, match="two deaths"):
        result_of(Ray(), dying(1), died="two deaths")
