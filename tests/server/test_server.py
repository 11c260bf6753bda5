"""One server as a whole: its directory, its health, its metrics, its sample database."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pynori.config import Settings
from pynori.errors import CannotStart
from pynori.server import health
from pynori.server.data_directory import DataDirectory
from pynori.server.sample import COUNTS, NAME, load_sample, sample_documents
from pynori.server.server import Server

WithServer = Callable[..., None]


def test_one_process_holds_a_data_directory(tmp_path: Path) -> None:
    """A second holder is refused and told who has it; after release the directory can be had again."""
    first = DataDirectory.acquire(tmp_path / "data")
    with pytest.raises(CannotStart, match=r"data is in use by process \d+"):
        DataDirectory.acquire(tmp_path / "data")
    first.release()
    DataDirectory.acquire(tmp_path / "data").release()


def test_unusable_data_directories_are_named(tmp_path: Path) -> None:
    """A file in the way, a folder of another format: one line that names the folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match="file"):
        DataDirectory.acquire(tmp_path / "file")
    DataDirectory.acquire(tmp_path / "data").release()
    (tmp_path / "data" / "PYNORI").write_text("format 99\n")
    with pytest.raises(CannotStart, match="format 99"):
        DataDirectory.acquire(tmp_path / "data")


def test_failed_start_lets_everything_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When opening fails in the middle, the directory is free again."""

    async def main() -> None:
        with monkeypatch.context() as patch:

            async def fail(self: object) -> None:
                raise OSError(5, "Input/output error")

            patch.setattr("pynori.server.databases.Databases.open_all", fail)
            with pytest.raises(OSError, match="Input/output"):
                await Server.start(Settings(data_dir=tmp_path / "data"))
        await (await Server.start(Settings(data_dir=tmp_path / "data"))).stop()

    asyncio.run(main())


def test_run_file_is_there_while_it_runs(with_server: WithServer, tmp_path: Path) -> None:
    """run.json names addresses and process from announce to stop."""
    path = tmp_path / "data" / "run.json"

    async def steps(server: Server) -> None:
        server.announce("http://127.0.0.1:1", "")
        assert json.loads(path.read_text())["url"] == "http://127.0.0.1:1" == server.url

    with_server(steps)
    assert not path.exists()


def test_health(with_server: WithServer, tmp_path: Path) -> None:
    """A running server is healthy, one with a lost database degraded and names it, a stopped one unavailable."""

    async def fine(server: Server) -> None:
        await server.databases.create({"DatabaseName": "shop"}, 1)
        assert health.quick(server) == (200, b"OK")
        full = health.full(server)
        assert (full["node_id"], full["total_shards"], full["active_shards"]) == ("node0", 1024, 1)
        assert full["shards"][0]["is_leader"] and full["shards"][0]["applied_index"] == server.state.raft_index
        server.is_running = False
        assert health.quick(server) == (503, b"UNAVAILABLE")
        assert health.full(server)["status"] == "unhealthy"

    async def degraded(server: Server) -> None:
        full = health.full(server)
        assert full["status"] == "degraded" and any("database shop" in problem for problem in full["problems"])

    with_server(fine, node_id="node0")
    (tmp_path / "data" / "Databases" / "shop").rename(tmp_path / "elsewhere")
    with_server(degraded)


def test_metrics_are_prometheus_text(with_server: WithServer) -> None:
    """The text parses, each family has help, and requests count exactly and fall into their buckets."""

    async def steps(server: Server) -> None:
        await server.databases.create({"DatabaseName": "shop"}, 1)
        puts = server.metrics.requests("put")
        for duration_ms in (0.05, 3.0, 3.0, 50.0, 99_999.0):
            puts.observe(duration_ms)
        puts.observe(1.0, failed=True)
        families = {family.name: family for family in text_string_to_metric_families(server.metrics.render().decode())}
        assert all(family.documentation for family in families.values())
        totals = {sample.labels["operation"]: sample.value for sample in families["kv_requests"].samples}
        assert totals == {"put": 6, "get": 0, "delete": 0}
        buckets = {
            sample.labels["le"]: sample.value
            for sample in families["kv_request_duration_ms"].samples
            if sample.name.endswith("_bucket")
            and sample.labels["operation"] == "put"
            and sample.labels["outcome"] == "ok"
        }
        assert [buckets[le] for le in ("0.1", "2.5", "5.0", "25.0", "50.0", "10000.0", "+Inf")] == [1, 1, 3, 3, 4, 4, 5]
        assert families["pynori_documents"].samples[0].labels == {"database": "shop"}

    with_server(steps)


def test_sample_is_the_same_everywhere_and_refers_to_itself() -> None:
    """The sample has its counts, is equal for equal seeds, and every id in it leads to a document before it."""
    documents = list(sample_documents())
    assert documents == list(sample_documents()) and documents != list(sample_documents(1))
    seen: set[str] = set()
    prefixes = tuple(f"{name.lower()}/" for name in (*COUNTS, "Categories", "Cities"))

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            return [found for member in value.values() for found in references(member)]
        if isinstance(value, list):
            return [found for member in value for found in references(member)]
        return [value] if isinstance(value, str) and value.startswith(prefixes) else []

    for id, document in documents:
        assert id not in seen
        assert set(references(document)) <= seen, id
        seen.add(id)
    for collection, count in COUNTS.items():
        assert sum(document["@metadata"]["@collection"] == collection for _, document in documents) == count


def test_sample_is_loaded_once(with_server: WithServer) -> None:
    """Loading fills the database; loading again, after a restart, leaves it as it is."""
    count = len(list(sample_documents()))

    async def load(server: Server) -> None:
        await load_sample(server.databases)
        statistics = server.databases.find(NAME).database.statistics()
        assert statistics.documents == count

    with_server(load)
    with_server(load)
