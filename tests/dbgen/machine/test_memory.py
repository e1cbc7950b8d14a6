"""A process gives large blocks back when it frees them."""

import subprocess
import sys

import pytest

HELD = """
import sys
from pathlib import Path
import numpy as np
from glioquery.dbgen.machine.memory import give_memory_back

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

if sys.argv[1] == "back":
    give_memory_back()
before = resident_mb()
for _ in range(2):  # the blocks that are freed first decide what glibc keeps afterwards
    large = [np.ones(12_000_000, np.uint8) for _ in range(10)]
    kept = np.ones(100_000, np.uint8)  # above them on the heap, if they are there
    del large
print(resident_mb() - before)
"""


def still_held_mb(way, **variables):
    done = subprocess.run(
        [sys.executable, "-c", HELD, way], capture_output=True, text=True, env=variables, check=True
    )
    return float(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_blocks_of_maps_do_not_stay_with_the_process():
    assert still_held_mb("back") < 30
    # glibc's own way, also where the user has chosen a limit.
    assert still_held_mb("keep") > 60
    assert still_held_mb("back", MALLOC_MMAP_THRESHOLD_=str(2**25)) > 60
