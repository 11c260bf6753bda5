"""Every allocation of a workload gets no memory once: a child of the tests, with the shim preloaded.

    LD_PRELOAD=fault_shim.so python -m tests.faults.memory_jobs [--every N] [--operations N]

Only what the engine's own code asks of the C library counts and fails.
"""

import argparse
import contextlib
import ctypes
import sys
from collections.abc import Callable

from pynori_core.fault_disk import FaultHandle

from tests.core.fault_jobs import Broken, Job


def attempt(operations: int, fail: Callable[[int], None], k: int) -> bool:
    """One run whose k-th allocation fails; whether that was noticed."""
    job = Job(FaultHandle(), operations, seed=3)
    fail(k)
    with contextlib.suppress(MemoryError):  # of the workload's own objects
        job.run()
    fail(0)
    failed = bool(job.failures)
    job.verify_after_memory()
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description="Fail each allocation of the engine once.")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--operations", type=int, default=300)
    arguments = parser.parse_args()
    shim = ctypes.CDLL(None)
    shim.shim_memory_fail.argtypes = [ctypes.c_long]
    shim.shim_memory_counted.restype = ctypes.c_long
    shim.shim_memory_fail(-1)
    job = Job(FaultHandle(), arguments.operations, seed=3)
    job.run()
    job.close()
    shim.shim_memory_fail(0)
    total = shim.shim_memory_counted()
    assert total > 100, f"only {total} allocations: the shim does not see the engine"
    failed = 0
    for k in range(1, total + 1, arguments.every):
        try:
            failed += attempt(arguments.operations, shim.shim_memory_fail, k)
        except Broken as broken:
            raise Broken(f"allocation {k}: {broken}") from broken
    print(f"{total} allocations, every {arguments.every}, {failed} runs with a failure, nothing lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
