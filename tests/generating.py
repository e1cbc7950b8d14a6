"""Databases that are made in the process of the test: eleven small tumours need no cluster."""

import contextlib

import pytest

from glioquery.dbgen import ParameterSpace, Plan, Range, generate, generation, workers
from glioquery.query import build_index, outlines_of

SMALL = Plan(ParameterSpace(whole_ml=Range(5, 15), snapshots_per_run=2), seed=7)
"""Small tumours are quick to simulate."""


@contextlib.contextmanager
def _nothing(address, n_workers):
    yield None


def _one_after_the_other(ray, folder, header, plan, todo):
    for index in todo:
        workers.make_shard(folder, header, plan, index)
        yield index


@contextlib.contextmanager
def in_this_process():
    """Let `generate` make its shards here, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "connected", _nothing)
        patch.setattr(workers, "make_shards", _one_after_the_other)
        yield


def make_indexed(folder, n_samples, plan, **options):
    """A database that a fixture makes, with its index beside it."""
    with in_this_process():
        made = generate(folder, n_samples, plan=plan, **options)
    outlines = outlines_of(made)
    build_index(outlines, outlines.path)
    return made
