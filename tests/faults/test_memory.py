"""Allocations that get no memory: a sample here, all of them by `ci/soak faults`."""

import os
import subprocess
import sys
from pathlib import Path


def test_failing_allocations_lose_nothing(shim: Path) -> None:
    """An allocation of the engine that fails is an error of its class; what was acknowledged is there afterwards."""
    environment = {**os.environ, "LD_PRELOAD": str(shim), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.faults.memory_jobs", "--every", "7", "--operations", "60"]
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr[-2_000:]
    assert "nothing lost" in ended.stdout
