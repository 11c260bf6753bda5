"""Crash images of indexes: each opens with what a commit left, goes on from there, and comes to equal the documents.

A finding names the image; `python -m tests.core.crash_explorer replay indexes 'PATH'` builds it again.
"""

import pytest

from tests.core.crash_explorer import Finding, Node, Totals, root
from tests.core.crash_jobs import run_jobs
from tests.indexes.crash_world import IndexWorld

IMAGES_MIN = 10_000
LIVES_MIN = 1_000
JOBS = [["seeds", "indexes", str(first), "14", "300"] for first in (3000, 3014)]
JOBS += [["sequences", "indexes", "2", str(part), "42"] for part in (5, 20)]


def test_no_crash_loses_a_document_of_an_index() -> None:
    """Of more than 10,000 images each is some commit's, and more than 1,000 catch up with what the database became."""
    totals = run_jobs(JOBS)
    print(totals)
    assert not totals.findings, "\n".join(totals.findings)
    assert totals.images >= IMAGES_MIN and totals.lives >= LIVES_MIN and totals.checked > 1_000


@pytest.mark.parametrize("seed", range(3))
def test_an_index_that_does_not_catch_up_is_a_finding(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """When an index that was opened again believes to have read everything, the explorer says so."""
    load = IndexWorld.load

    def load_wrongly(world: IndexWorld) -> None:
        load(world)
        snapshot = world.documents.snapshot()
        last_etag = snapshot.counts()[2]
        snapshot.close()
        for each in world.progress.collections.values():
            each.document_etag = each.tombstone_etag = last_etag

    node: Node = root("indexes", f"blind {seed}")
    monkeypatch.setattr(IndexWorld, "load", load_wrongly)
    with pytest.raises(Finding, match="in place of"):
        for life in range(20):
            last = sorted(node.states)[2]
            Node("indexes", node.disk, {last: node.states[last]}, last, "blind").live(str(life), Totals())
