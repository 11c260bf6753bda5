"""Metrics of a real server process: what a scrape says follows what clients did."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

READS, WRITES, DELETES, MISSING = 7, 20, 3, 2


def scrape(server) -> dict[tuple[str, str], float]:
    """Values by name and by the label of operation or database, or else the last label."""
    values = {}
    for family in text_string_to_metric_families(server.text("/metrics")):
        assert family.documentation and family.type in ("counter", "gauge", "histogram"), family.name
        for sample in family.samples:
            if not sample.name.endswith("_bucket") and sample.labels.get("outcome", "ok") == "ok":
                last = next(reversed(sample.labels.values()), "")
                label = sample.labels.get("operation") or sample.labels.get("database") or last
                assert (sample.name, label) not in values
                values[sample.name, label] = sample.value
    return values


def test_what_clients_do_moves_the_metrics(serve, tmp_path: Path) -> None:
    """Reads, writes and deletes are counted one by one, and the engine's counters move under the database's name."""
    with serve("--data-dir", str(tmp_path / "data")) as server:
        server.call("PUT", "/admin/databases?name=shop", {"DatabaseName": "shop"})
        server.call("PUT", "/admin/databases?name=idle", {"DatabaseName": "idle"})
        before = scrape(server)
        for number in range(WRITES):
            server.call("PUT", f"/databases/shop/docs?id=users/{number}", {"Name": "x" * 2_000})
        for number in range(READS):
            server.call("GET", f"/databases/shop/docs?id=users/{number}")
        for number in range(DELETES):
            server.call("DELETE", f"/databases/shop/docs?id=users/{number}")
        after = scrape(server)

        def moved(name: str, label: str) -> float:
            return after[name, label] - before[name, label]

        for operation, count in (("put", WRITES), ("get", READS), ("delete", DELETES)):
            assert moved("kv_requests_total", operation) == count
            assert moved("kv_request_duration_ms_count", operation) == count
            assert moved("kv_request_duration_ms_sum", operation) > 0
        changes = WRITES + DELETES
        for name in ("transactions", "commands", "commits"):
            assert moved(f"pynori_{name}_total", "shop") == changes  # one client that waits for each answer
            assert moved(f"pynori_{name}_total", "idle") == 0
        assert moved("pynori_journal_syncs_total", "shop") >= changes
        assert moved("pynori_journal_written_bytes_total", "shop") >= changes * 4_096
        assert moved("pynori_journal_whole_pages_total", "shop") + moved("pynori_journal_diff_pages_total", "shop") > 0
        assert (moved("pynori_documents", "shop"), moved("pynori_tombstones", "shop")) == (WRITES - DELETES, DELETES)
        assert after["pynori_scratch_size_bytes", "shop"] > 0 and after["pynori_database_readable", "shop"] == 1
        for name in ("transactions_failed", "transactions_refused", "writer_waits", "checkpoints", "checkpoint_pages"):
            assert after[f"pynori_{name}_total", "shop"] == 0
        for name in ("queue_transactions", "queue_size_bytes", "readers"):
            assert after[f"pynori_{name}", "shop"] == 0
        code, talk = server.terminate()
        assert code == 0 and "warn" not in talk and "error" not in talk
