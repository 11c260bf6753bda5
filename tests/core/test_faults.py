"""Disk calls that fail: a sample of the long workload, and the whole commit path; `ci/soak faults` does them all."""

import pytest
from pynori_core.fault_disk import FaultHandle

from tests.core import fault_jobs


def test_every_tenth_call_of_a_long_workload_may_fail() -> None:
    """Errors of one of three classes, a state that is usable or poisoned, nothing acknowledged is lost, no leak."""
    assert fault_jobs.sweep(operations=400, seed=1, every=10) > 100


def test_every_call_of_the_commit_path_may_fail_in_every_way() -> None:
    """The same for each call of a short life, with each kind of failure, once and from then on."""
    assert fault_jobs.sweep(operations=10, seed=2, every=1) > 500


def test_the_harness_sees_a_lost_write() -> None:
    """A write that is held for acknowledged and is not there ends the run."""
    job = fault_jobs.Job(FaultHandle(), 20, seed=1)
    job.run()
    job.truth.sure["docs/7"] = 4_711
    with pytest.raises(fault_jobs.Broken, match="before closing"):
        job.verify()
