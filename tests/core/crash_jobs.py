"""Runs jobs of the crash explorer in processes of their own, two at a time, and adds up what they covered."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.core.crash_explorer import Totals

ROOT = Path(__file__).resolve().parents[2]
JOBS_AT_ONCE = 2
JOB_SECONDS_MAX = 900
# Fresh memory is dear: what one image gives back serves the next.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}


def run_job(arguments: list[str]) -> Totals:
    """One job. A process that dies or hangs is a finding."""
    environment = {**os.environ, **ALLOCATOR, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "tests.core.crash_explorer", *arguments]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=JOB_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        return Totals(findings=[f"{' '.join(arguments)}: does not end"])
    if done.returncode != 0:
        return Totals(findings=[f"{' '.join(arguments)}: status {done.returncode}: {done.stderr[-600:]}"])
    result = json.loads(done.stdout.strip().split("\n")[-1])
    del result["seconds"]
    return Totals(**result)


def run_jobs(jobs: Iterable[list[str]]) -> Totals:
    totals = Totals()
    with ThreadPoolExecutor(JOBS_AT_ONCE) as pool:
        for result in pool.map(run_job, jobs):
            totals.add(result)
    return totals
