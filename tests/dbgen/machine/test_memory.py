"""A process can give back the memory of what it has freed."""

import subprocess
import sys

import pytest

HELD = """
from pathlib import Path
import numpy as np
from glioquery.dbgen.machine.memory import give_memory_back

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

before = resident_mb()
for _ in range(2):  # the blocks that are freed first decide what glibc keeps afterwards
    large = [np.ones(12_000_000, np.uint8) for _ in range(10)]
    kept = np.ones(100_000, np.uint8)  # above them on the heap
    del large
held = resident_mb() - before
give_memory_back()
print(held, resident_mb() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_freed_blocks_do_not_stay_with_the_process():
    done = subprocess.run(
        [sys.executable, "-c", HELD], capture_output=True, text=True, env={}, check=True
    )
    held, left = map(float, done.stdout.split())
    assert held > 60 and left < 30
