"""The long run of failing calls: every disk call of the workload in every way, then every allocation.

    python -m tests.faults.soak [--every N] [--operations N] [--seed N]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.core.fault_jobs import sweep
from tests.faults.tools import build_shim


def main() -> int:
    parser = argparse.ArgumentParser(description="Fail every disk call and every allocation of a long workload.")
    parser.add_argument("--every", type=int, default=1, help="only every n-th call, with one kind of failure each")
    parser.add_argument("--operations", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began = time.monotonic()
    runs = sweep(arguments.operations, arguments.seed, arguments.every)
    print(f"disk calls: {runs} runs, nothing lost, {time.monotonic() - began:.0f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "LD_PRELOAD": str(build_shim(Path(folder)))}
        command = [sys.executable, "-m", "tests.faults.memory_jobs", "--every", str(arguments.every)]
        return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
