"""The index on a device finds what the search on the host finds; here JAX's device is the CPU."""

import numpy as np
import pytest

from glioquery.query import MEASURES, dice_of_masks, find_measure, search
from glioquery.query import device as device_module
from glioquery.query.device import DeviceIndex
from glioquery.solver import TumorMasks


@pytest.mark.parametrize("name", ["dice", "l2", "dice-in-tissue"])
def test_same_as_the_search_on_the_host(name, source, shared_index, tumor, monkeypatch):
    monkeypatch.setattr(device_module, "BATCH", 4)  # three batches, the last not full
    rng = np.random.default_rng(3)
    queries = [tumor(i) for i in (0, 11, 85, 86)]
    for _ in range(5):
        whole = rng.random(source.grid.shape) < rng.uniform(0, 0.5)
        queries.append(TumorMasks(np.roll(whole, 3, 0), whole, source.grid))
    measure = find_measure(name, weights=(0.7, 1.3))
    for k in (1, 15, 90):
        found = DeviceIndex.load(shared_index).search_many(
            queries, k=k, measure=measure, empty_score=1.0
        )
        assert found == [
            search(shared_index, masks, k=k, measure=measure, empty_score=1.0) for masks in queries
        ]


def test_its_scores_are_those_of_the_masks_compared_one_by_one(shared_index, source, tumor):
    query = TumorMasks(np.roll(tumor(7).core, 2, 1), np.roll(tumor(7).whole, 2, 1), source.grid)
    dice = [dice_of_masks(query, tumor(i)) for i in range(90)]
    best = sorted(range(90), key=lambda i: (-sum(dice[i]), i))[:20]
    assert sum(dice[best[0]]) > 0
    (found,) = DeviceIndex.load(shared_index).search_many([query], k=20)
    assert [(m.sample, m.dice_core, m.dice_whole) for m in found] == [(i, *dice[i]) for i in best]


def test_what_a_device_cannot_answer_is_refused(shared_index, tumor):
    device = DeviceIndex.load(shared_index)
    with pytest.raises(ValueError, match="k, the number of matches"):
        device.search_many([tumor(0)], k=0)
    with pytest.raises(ValueError, match="hausdorff95 needs masks"):
        device.search_many([tumor(0)], measure=MEASURES["hausdorff95"])
