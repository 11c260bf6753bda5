"""The cluster's state: what a change does, what it refuses, and that it is there after a restart or a kill."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pynori_core.check import check
from pynori_core.env import Env

from pynori import limits
from pynori.cluster.commands import COMMANDS, TABLES, View
from pynori.cluster.raft.types import HardState, Membership
from pynori.cluster.state import ClusterState
from pynori.cluster.store import Round, Store
from pynori.errors import (
    AlreadyExists,
    DatabaseDoesNotExist,
    InvalidArgument,
    LimitExceeded,
    RequestTimeout,
    StorageFailed,
    Unavailable,
)
from pynori.runtime.clock import ManualClock
from pynori.runtime.rand import SeededRand

ROOT = Path(__file__).resolve().parent.parent.parent
Steps = Callable[[ClusterState], Awaitable[None]]


async def open_state(directory: Path | None = None) -> ClusterState:
    return await ClusterState.open(directory, ManualClock(), SeededRand(7))


def run(steps: Steps, directory: Path | None = None) -> None:
    """Open the state, run the steps, close it."""

    async def main() -> None:
        state = await open_state(directory)
        try:
            await steps(state)
        finally:
            await state.close()

    asyncio.run(main())


async def create(state: ClusterState, name: str = "shop", **fields: Any) -> int:
    index, _ = await state.create_database({"DatabaseName": name, **fields}, 1)
    return index


def test_the_first_act_founds_a_cluster_of_one() -> None:
    """A new state is passive; founded it has tag A, its own ids, and leads."""

    async def steps(state: ClusterState) -> None:
        assert state.is_passive and (state.node_tag, state.topology_id) == ("?", "")
        assert state.cluster_topology("http://127.0.0.1:8080")["Leader"] is None
        await state.found()
        await state.found()
        assert (state.node_tag, state.raft_index) == ("A", 3)
        topology = state.cluster_topology("http://127.0.0.1:8080")
        assert topology["Leader"] == "A" and topology["CurrentState"] == "Leader" and topology["CurrentTerm"] == 2
        assert topology["Topology"]["Members"] == {"A": "http://127.0.0.1:8080"}
        assert state.node_info()["ServerId"] == state.server_id
        assert state.server_id != state.topology_id

    run(steps)


def test_record_is_complete_and_belongs_to_the_caller() -> None:
    """A record given with one field is read with all; changing what was read changes nothing."""

    async def steps(state: ClusterState) -> None:
        index = await create(state, Settings={"a": "b"}, Indexes=None)
        record = state.record("SHOP")
        assert record is not None
        assert (record["DatabaseName"], record["LockMode"], record["AutoIndexes"]) == ("shop", "Unlock", {})
        assert (record["Indexes"], record["Settings"], record["Client"]) == ({}, {"a": "b"}, None)
        assert record["Etag"] == index == record["Topology"]["Stamp"]["Index"]
        record["Settings"]["a"] = "changed"
        again = state.record("shop")
        assert again is not None and again["Settings"] == {"a": "b"}
        assert state.record("unknown") is None

    run(steps)


def test_database_topology_lists_this_node() -> None:
    """The topology of a database names the node as member under the address that was asked."""

    async def steps(state: ClusterState) -> None:
        index = await create(state)
        assert state.database_topology("Shop", "http://h:1") == {
            "Nodes": [{"Url": "http://h:1", "ClusterTag": "A", "Database": "shop", "ServerRole": "Member"}],
            "Promotables": [],
            "Etag": index,
        }
        assert state.database_topology_etag("shop") == index
        with pytest.raises(DatabaseDoesNotExist):
            state.database_topology("other", "http://h:1")

    run(steps)


def test_a_refused_command_leaves_no_trace() -> None:
    """A second database of the name, too many copies, an unknown database: refused, and nothing is changed."""

    async def steps(state: ClusterState) -> None:
        await create(state)
        with pytest.raises(AlreadyExists):
            await create(state, "SHOP")
        with pytest.raises(InvalidArgument):
            await state.create_database({"DatabaseName": "two"}, 2)
        with pytest.raises(DatabaseDoesNotExist):
            await state.next_identity("unknown", "users")
        assert state.database_names() == ["shop"]

    run(steps)


def test_commands_of_one_turn_share_a_transaction() -> None:
    """A hundred identities asked for at once are all different and need a few transactions, not a hundred."""

    async def main() -> None:
        writes: list[int] = []

        class CountingStore(Store):
            def write(self, work: Round) -> None:
                writes.append(work.applied)
                super().write(work)

        store = CountingStore.open(None)
        state = await ClusterState.over(store, ManualClock(), SeededRand(7))
        await create(state)
        writes.clear()
        values = await asyncio.gather(*(state.next_identity("shop", "users|") for _ in range(100)))
        assert sorted(values) == list(range(1, 101))
        assert len(writes) <= 4 and max(writes) == state.raft_index
        await state.close()

    asyncio.run(main())


def test_the_log_of_one_node_stays_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A node that is alone drops entries that it has applied, and starts again from what is left."""
    monkeypatch.setattr(limits, "RAFT_LOG_ENTRIES_KEPT", 20)
    monkeypatch.setattr(limits, "RAFT_REPEAT_WINDOW", 20)

    async def steps(state: ClusterState) -> None:
        if state.record("shop") is None:
            await create(state)
        for _ in range(100):
            await state.next_identity("shop", "users|")
        log = state.driver._log
        assert log.last_index() - log.first_index() <= 45

    run(steps, tmp_path / "state")
    run(steps, tmp_path / "state")

    async def look(state: ClusterState) -> None:
        assert state.identities("shop") == {"users|": 200}

    run(look, tmp_path / "state")


def test_a_state_that_comes_as_a_whole_keeps_the_vote(tmp_path: Path) -> None:
    """Term and vote bind over any snapshot: an order that brings no newer ones leaves those that are stored."""
    store = Store.open(tmp_path / "state")
    store.load(("cluster",))
    store.begin({"id": 7}, Membership(frozenset((7,))), 1)
    store.write(Round(hard_state=HardState(9, 5, 1)))
    dump = store.dump()
    part = dump.next_part()
    assert part is not None and dump.next_part() is None
    membership = dump.membership
    dump.close()

    def install(index: int, term: int, hard_state: HardState | None) -> None:
        while not store.clear_next():
            pass
        store.stage(part)
        store.switch(index, term, membership, hard_state)

    install(40, 3, None)
    loaded = store.load(("cluster",))
    assert loaded.hard_state == HardState(9, 5, 40) and (loaded.applied, loaded.before) == (40, (40, 3))
    install(50, 9, HardState(10, 0, 50))
    assert store.load(("cluster",)).hard_state == HardState(10, 0, 50)
    store.close()


@pytest.mark.parametrize("reason", ["a command of a later version", "a table that cannot be read"])
def test_a_node_that_cannot_apply_an_entry_stops(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only this node cannot do must not be passed over: it takes no part any more, and says why."""

    async def steps(state: ClusterState) -> None:
        await create(state)
        if reason == "a command of a later version":
            monkeypatch.delitem(COMMANDS, ("identity.next", 1))
            monkeypatch.setitem(COMMANDS, ("identity.next", 1), COMMANDS[("identity.seed", 1)])
            monkeypatch.delitem(COMMANDS, ("identity.seed", 1))  # the name that the entry bears
            with pytest.raises(StorageFailed, match="which this version lacks"):
                await state.next_identity("shop", "users|")
        else:
            def broken(table: str, key: str) -> bytes | None:
                raise OSError(5, "Input/output error")

            monkeypatch.setattr(Store, "get", lambda self, table, key: broken(table, key))
            with pytest.raises(StorageFailed, match="Input/output"):
                await state.put_compare_exchange("shop", "k", 0, b"1")
        assert state.failure is not None
        with pytest.raises(StorageFailed):
            await create(state, "other")

    run(steps)


def test_a_state_without_a_log_is_taken_over(tmp_path: Path) -> None:
    """Files of a version that wrote no log keep their ids, records and raft index, and go on from there."""
    directory = tmp_path / "state"
    env = Env.create(str(directory))
    identity = {"server_id": "the server", "topology_id": "the topology", "node_tag": "A"}
    with env.write() as txn:
        txn.tree(b"state", create=True).put(b"applied", (41).to_bytes(8, "big"))
        txn.tree(b"table.cluster", create=True).put(b"identity", json.dumps(identity).encode())
    env.close()

    async def steps(state: ClusterState) -> None:
        assert (state.server_id, state.topology_id, state.node_tag) == ("the server", "the topology", "A")
        assert state.raft_index >= 41
        if state.record("shop") is None:
            assert await create(state) > 42, "behind an entry of the new leader"

    run(steps, directory)
    run(steps, directory)


def test_a_command_sees_those_before_it_in_its_transaction() -> None:
    """Of two creations of one name in the same turn the second is refused."""

    async def steps(state: ClusterState) -> None:
        outcomes = await asyncio.gather(create(state), create(state), return_exceptions=True)
        assert isinstance(outcomes[0], int) and isinstance(outcomes[1], AlreadyExists)

    run(steps)


def test_identities_by_any_spelling() -> None:
    """`users`, `Users|` and `users|` are one identity; seeding goes up, and down only by force; deletion forgets it."""

    async def steps(state: ClusterState) -> None:
        await create(state)
        assert await state.next_identity("shop", "users") == 1
        assert await state.next_identity("SHOP", "Users|", 3) == 2
        assert state.identities("Shop") == {"users|": 4}
        assert await state.seed_identity("shop", "users|", 100) == 100
        assert await state.seed_identity("shop", "users|", 50) == 100
        assert await state.seed_identity("shop", "users|", 50, force=True) == 50
        assert await state.next_identity("shop", "users|") == 51
        await state.delete_database("shop", hard=False)
        await create(state)
        assert state.identities("shop") == {}

    run(steps)


def test_ids_of_requests_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What was done under an id is known for so many indexes, also after a restart, and takes no room then."""
    monkeypatch.setattr(limits, "REQUESTS_WINDOW", 40)
    monkeypatch.setattr(limits, "REQUESTS_FORGET_STEP", 8)

    async def take(state: ClusterState) -> None:
        await create(state)
        assert await state.next_identity("shop", "users", request="first") == 1
        for number in range(100):
            assert await state.next_identity("shop", "users", request=f"id/{number}") == number + 2
        assert await state.next_identity("shop", "users", request="id/99") == 101

    async def take_again(state: ClusterState) -> None:
        assert await state.next_identity("shop", "users", request="id/99") == 101
        assert await state.next_identity("shop", "users", request="first") == 102

    run(take, tmp_path / "state")
    run(take_again, tmp_path / "state")
    store = Store.open(tmp_path / "state")
    store.load(TABLES)
    counts = [sum(1 for _ in store.scan(table, "")) for table in ("requests", "requests_order")]
    store.close()
    assert 40 <= counts[0] == counts[1] <= 40 + 2 * 8


def test_a_wrapped_command_that_is_not_known_stops_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with any other command of a later version: the others would apply it."""

    async def steps(state: ClusterState) -> None:
        await create(state)
        monkeypatch.delitem(COMMANDS, ("identity.next", 1))
        with pytest.raises(StorageFailed, match="which this version lacks"):
            await state.next_identity("shop", "users", request="one")
        assert state.failure is not None

    run(steps)


@pytest.mark.parametrize("name", ["", "|", "x" * limits.IDENTITY_NAME_SIZE_BYTES_MAX + "x"])
def test_identity_names_are_bounded(name: str) -> None:
    """An identity without a name, or with one that is too long, is refused."""

    async def steps(state: ClusterState) -> None:
        await create(state)
        with pytest.raises(InvalidArgument):
            await state.next_identity("shop", name)

    run(steps)


def test_concurrent_record_updates_all_count() -> None:
    """Twenty updates at once of one record: each sees what the others did, none is lost."""

    async def steps(state: ClusterState) -> None:
        await create(state)

        def add(number: int) -> Callable[[dict[str, Any]], None]:
            return lambda record: record["Settings"].update({str(number): "x"})

        await asyncio.gather(*(state.update_record("shop", add(number)) for number in range(20)))
        record = state.record("shop")
        assert record is not None and len(record["Settings"]) == 20

    run(steps)


def test_an_update_that_raises_changes_nothing() -> None:
    """What the change raises reaches the caller, and the record stays; its name cannot be changed at all."""

    async def steps(state: ClusterState) -> None:
        await create(state)
        before = state.record("shop")

        def broken(record: dict[str, Any]) -> None:
            record["Settings"]["x"] = "y"
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            await state.update_record("shop", broken)
        assert state.record("shop") == before
        await state.update_record("shop", lambda record: record.update(DatabaseName="other"))
        assert state.database_names() == ["shop"]

    run(steps)


def test_a_command_that_is_too_large_is_refused() -> None:
    """A record beyond STATE_COMMAND_SIZE_BYTES_MAX is refused by the limit's name."""

    async def steps(state: ClusterState) -> None:
        await create(state)
        huge = "x" * limits.STATE_COMMAND_SIZE_BYTES_MAX
        with pytest.raises(LimitExceeded, match="STATE_COMMAND_SIZE_BYTES_MAX"):
            await state.update_record("shop", lambda record: record["Settings"].update(huge=huge))

    run(steps)


def test_client_configuration_of_database_and_server() -> None:
    """The database's own configuration wins, a disabled or removed one gives way, and the etag only grows."""

    async def steps(state: ClusterState) -> None:
        await create(state)
        etags = []

        def now() -> Any:
            etag, configuration = state.client_configuration("shop")
            etags.append(etag)
            return None if configuration is None else configuration.get("IdentityPartsSeparator")

        assert now() is None
        await state.put_client_configuration(None, {"IdentityPartsSeparator": "-"})
        assert now() == "-"
        await state.put_client_configuration("shop", {"IdentityPartsSeparator": "#"})
        assert now() == "#"
        await state.put_client_configuration("shop", None)
        assert now() == "-"
        await state.put_client_configuration(None, None)
        assert now() is None
        assert etags == sorted(set(etags))

    run(steps)


def test_waiting_for_an_index() -> None:
    """Waiting ends when the index is applied, at once for an old one, and with a timeout for one that never comes."""

    async def steps(state: ClusterState) -> None:
        await state.wait_for_index(1, 0.01)
        waiting = asyncio.create_task(state.wait_for_index(state.raft_index + 1, 5))
        await asyncio.sleep(0)
        await create(state)
        await waiting
        with pytest.raises(RequestTimeout, match="raft index"):
            await state.wait_for_index(state.raft_index + 5, 0.01)

    run(steps)


def test_after_a_failed_write_nothing_more_is_taken() -> None:
    """A write that fails reaches its proposers, shows in memory nowhere, and no later change is accepted."""

    async def main() -> None:
        class FailingStore(Store):
            fails = False

            def write(self, work: Round) -> None:
                if FailingStore.fails:
                    raise OSError(5, "Input/output error")
                super().write(work)

        store = FailingStore.open(None)
        state = await ClusterState.over(store, ManualClock(), SeededRand(7))
        await create(state)
        FailingStore.fails = True
        outcomes = await asyncio.gather(create(state, "a"), create(state, "b"), return_exceptions=True)
        assert all(isinstance(outcome, StorageFailed) for outcome in outcomes)
        FailingStore.fails = False
        with pytest.raises(StorageFailed):
            await create(state, "c")
        assert state.database_names() == ["shop"] and state.failure is not None
        await state.close()

    asyncio.run(main())


def test_a_closed_state_takes_nothing() -> None:
    """A proposal after close is answered, not left waiting."""

    async def main() -> None:
        state = await open_state()
        await state.close()
        with pytest.raises(Unavailable):
            await create(state)

    asyncio.run(main())


def test_state_survives_a_restart(tmp_path: Path) -> None:
    """Records, identities, configuration, ids and the raft index are the same after closing and opening."""
    directory = tmp_path / "System"
    seen: dict[str, Any] = {}

    async def fill(state: ClusterState) -> None:
        await create(state)
        await create(state, "Gone")
        await state.delete_database("gone", hard=True)
        await state.next_identity("shop", "users", 5)
        await state.put_client_configuration(None, {"MaxNumberOfRequestsPerSession": 7})
        seen.update(read(state))

    def read(state: ClusterState) -> dict[str, Any]:
        return {
            "index": state.raft_index,
            "ids": (state.server_id, state.topology_id),
            "record": state.record("shop"),
            "identities": state.identities("shop"),
            "client": state.client_configuration(None),
            "unfinished": state.unfinished(),
        }

    async def compare(state: ClusterState) -> None:
        assert read(state) == seen
        assert state.unfinished() == (["shop"], ["Gone"])

    run(fill, directory)
    run(compare, directory)


KILLED = """
import asyncio, sys
from pathlib import Path
from pynori.cluster.state import ClusterState
from pynori.runtime.clock import SystemClock
from pynori.runtime.rand import SystemRand

async def main():
    state = await ClusterState.open(Path(sys.argv[1]), SystemClock(), SystemRand())
    await state.create_database({"DatabaseName": "shop"}, 1)
    async def take():
        while True:
            value = await state.next_identity("shop", "users")
            print(value, state.raft_index, flush=True)
    await asyncio.gather(*(take() for _ in range(8)))

asyncio.run(main())
"""


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    """A process that takes identities is killed in the middle; no value that it was given is given again."""
    directory = tmp_path / "System"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(directory)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    process.wait()
    answered = [line.split() for line in lines if line.endswith("\n")]
    last_value = max(int(value) for value, _ in answered)
    last_index = max(int(index) for _, index in answered)

    async def steps(state: ClusterState) -> None:
        assert state.raft_index >= last_index
        assert await state.next_identity("shop", "users") > last_value

    run(steps, directory)


def big_state(store: Store, count: int, size: int) -> Membership:
    """A state of so many values of that size each."""
    store.load(("cluster",))
    membership = Membership(frozenset((7,)))
    store.begin({"id": 7}, membership, 1)
    changes: dict[tuple[str, str], Any] = {
        ("compare_exchange", f"{number:06}"): bytes([number % 250]) * size for number in range(count)
    }
    store.write(Round(applied=9, applied_term=2, changes={**changes, ("cluster", "identity"): {"topology_id": "x"}}))
    return membership


def test_a_state_in_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each part is bounded; the old state holds until the new one is whole, and then it is that one, byte for byte."""
    monkeypatch.setattr(limits, "STATE_PART_SIZE_BYTES", 5_000)
    monkeypatch.setattr(limits, "STATE_CLEAR_STEP", 7)
    source, target = Store.open(tmp_path / "source"), Store.open(tmp_path / "target")
    membership = big_state(source, 40, 1_000)
    big_state(target, 10, 300)
    old = list(target.scan("compare_exchange", ""))
    dump = source.dump()
    source.write(Round(applied=10, applied_term=2, changes={("compare_exchange", "000001"): b"later"}))
    parts = []
    while (part := dump.next_part()) is not None:
        parts.append(part)
    dump.close()
    assert (dump.index, dump.term) == (9, 2) and len(parts) == 8 and max(map(len, parts)) < 6_500
    for part in parts[:5]:
        target.stage(part)
    target.close()
    target = Store.open(tmp_path / "target")
    assert target.load(("cluster",)).applied == 9 and list(target.scan("compare_exchange", "")) == old
    while not target.clear_next():
        pass
    for part in parts:
        target.stage(part)
    assert list(target.scan("compare_exchange", "")) == old
    target.switch(9, 2, membership, None)
    expected = [(f"{number:06}", bytes([number % 250]) * 1_000) for number in range(40)]
    assert list(target.scan("compare_exchange", "")) == expected
    while not target.clear_next():
        pass
    target.close()
    target = Store.open(tmp_path / "target")
    assert target.load(("cluster",)).tables == {"cluster": {"identity": {"topology_id": "x"}}}
    assert list(target.scan("compare_exchange", "")) == expected and target.position() == (9, 2, membership)
    for store in (source, target):
        store.close()
    assert check(tmp_path / "target") == []


def test_first_keys_are_those_of_all_commands_before() -> None:
    """What commands before in the same transaction have removed and put counts: grouping must not matter."""
    store = Store.open(None)
    big_state(store, 5, 10)
    pending: dict[tuple[str, str], Any] = {("compare_exchange", "000000"): None, ("compare_exchange", "0000005"): b"x"}
    view = View({}, pending, store, 1)
    view.delete("compare_exchange", "000002")
    assert view.first_keys("compare_exchange", "", 2) == ["0000005", "000001"]
    assert view.first_keys("compare_exchange", "00000", 9) == ["0000005", "000001", "000003", "000004"]
    store.close()
