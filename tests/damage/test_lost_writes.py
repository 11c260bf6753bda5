"""Writes that the disk confirmed and forgot: of headers and roots each is noticed before anything depends on it."""

import struct

import pytest
from pynori_core.env import Env
from pynori_core.errors import CorruptError, EngineError, Poisoned
from pynori_core.fault_disk import FaultHandle

from tests.damage.sample import PAGE_SIZE

TREES = (b"first", b"second", b"third")
HEADERS = {0: "header at offset 0", 8: "header at offset 65536"}


def filled(disk: FaultHandle) -> Env:
    """An environment of three trees of several levels, checkpointed, with changes behind the checkpoint."""
    env = Env.create(disk)
    for turn in range(2):
        with env.write() as txn:
            for name in TREES:
                tree = txn.tree(name, create=True)
                for number in range(turn * 400, turn * 400 + 400):
                    tree.put(struct.pack(">Q", number * 7919 % 10_007), bytes(60))
        if turn == 0:
            env.checkpoint()
    return env


def pages_of(env: Env) -> list[int]:
    """Headers, catalog and roots."""
    with env.read() as txn:
        return [*HEADERS, 1, *(txn.tree(name).statistics()["root"] for name in TREES)]


@pytest.mark.parametrize("which", range(6))
def test_a_lost_write_of_a_header_or_root_is_noticed(which: int) -> None:
    """The checkpoint fails with the page's place, nothing is written after it, and recovery has everything."""
    disk = FaultHandle()
    env = filled(disk)
    page = pages_of(env)[which]
    disk.lose_writes(page * PAGE_SIZE, PAGE_SIZE)
    with pytest.raises(CorruptError, match=HEADERS.get(page, f"page {page}:") + ".* reads back different"):
        env.checkpoint()
    with pytest.raises(Poisoned), env.write() as txn:
        txn.tree(TREES[0]).put(b"new", b"")
    env.close()
    disk.heal()
    with Env.open(disk) as env, env.read() as txn:
        for name in TREES:
            assert len(txn.tree(name)) == len(list(txn.tree(name).items())) == 800


def test_every_other_lost_write_is_no_worse_than_old() -> None:
    """Of other pages the loss shows where the old page does not fit its tree; else answers are as old as the page."""
    noticed = old = 0
    for page in [page for page in range(3, 40) if page != 8]:
        disk = FaultHandle()
        env = filled(disk)
        disk.lose_writes(page * PAGE_SIZE, PAGE_SIZE)
        try:
            env.checkpoint()
            env.close()
            with Env.open(disk) as env, env.read() as txn:
                old += any(len(list(txn.tree(name).items())) != 800 for name in TREES)
        except EngineError:
            noticed += 1
    print(f"{noticed} noticed, {old} old")
    assert noticed > old
