"""A process can give back the memory of what it has freed, and its threads share what they keep."""

import subprocess
import sys

import pytest

RESIDENT = """
from pathlib import Path
import threading
import numpy as np
from glioquery.dbgen.machine.memory import give_memory_back, share_one_heap

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
"""

HELD = """
before = resident_mb()
for _ in range(2):  # the blocks that are freed first decide what glibc keeps afterwards
    large = [np.ones(12_000_000, np.uint8) for _ in range(10)]
    kept = [np.ones(100_000, np.uint8) for _ in range(20)]  # some lie above them on the heap
    del large
held = resident_mb() - before
give_memory_back()
print(held, resident_mb() - before)
"""

IN_TURN = """
before = resident_mb()
np.ones(30_000_000, np.uint8)  # freed at once: from now on, blocks of this size come from heaps
kept = []
def work():
    large = [np.ones(12_000_000, np.uint8) for _ in range(4)]
    kept.extend(np.ones(100_000, np.uint8) for _ in range(20))  # some lie above them on the heap
def one_after_the_other():
    stay = threading.Event()
    def work_and_stay():
        work()
        done.release()
        stay.wait()
    done = threading.Semaphore(0)
    threads = [threading.Thread(target=work_and_stay) for _ in range(4)]
    for thread in threads:
        thread.start()
        done.acquire()
    held = resident_mb() - before
    stay.set()
    return held
print(one_after_the_other())
"""


def printed(program):
    done = subprocess.run(
        [sys.executable, "-c", RESIDENT + program],
        capture_output=True,
        text=True,
        env={},
        check=True,
    )
    return [float(number) for number in done.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_freed_blocks_do_not_stay_with_the_process():
    held, left = printed(HELD)
    assert held > 60 and left < 30


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_threads_that_work_in_turn_use_the_same_memory():
    (apart,) = printed(IN_TURN)
    (shared,) = printed("share_one_heap()" + IN_TURN)
    assert apart > 120 and shared < 80
