"""A real server whose disk fails, stalls or fills up: what clients are told, and how it comes back."""

import errno
import threading
import urllib.request
from pathlib import Path

from tests.faults.tools import ServerProcess, served, volume

NO_WATERMARK = ("--disk-free-refuse-mb", "0", "--disk-free-refuse-percent", "0")
WATERMARK = ("--disk-free-refuse-mb", "8", "--disk-free-refuse-percent", "5")
DOCUMENT = {"text": "x" * 500}


def put(server: ServerProcess, id: str, body: object = None) -> tuple[int, dict, dict]:
    return server.call("PUT", f"/databases/db/docs?id={id}", body or DOCUMENT)


def test_a_failed_sync_is_an_unknown_outcome_and_one_reopening(tmp_path: Path, shim: Path) -> None:
    """Clients that wait get a class of its own; the database is recovered once, and stays down the second time."""
    with served(tmp_path / "data", *NO_WATERMARK, shim=shim) as server:
        for number in range(20):
            assert put(server, f"safe/{number}")[0] == 201
        server.disk(errno.EIO, name="Databases/db/journal.")
        status, body, fields = put(server, "lost/1")
        assert status == 500 and body["Type"] == "Pynori.UnknownOutcomeException", body
        assert "may or may not be durable" in body["Message"] and "retry-after" not in fields
        status, body, _ = put(server, "lost/2")
        assert status == 503, body  # nothing was written: stopped, or being opened
        server.heal()
        server.until(lambda: put(server, "after/1")[0] == 201)
        for number in range(20):
            assert server.call("GET", f"/databases/db/docs?id=safe/{number}")[0] == 200
        assert server.call("GET", "/databases/db/docs?id=lost/2")[0] == 404

        server.disk(errno.EIO, name="Databases/db/journal.")
        assert put(server, "lost/3")[0] == 500
        server.heal()
        server.until(lambda: "database db" in str(server.call("GET", "/health")[1]["problems"]))
        status, body, _ = server.call("GET", "/databases/db/docs?id=safe/1")
        assert status == 503 and body["Type"].endswith("DatabaseLoadFailureException") and "failure" in body["Message"]
        # Somebody who looked at the disk brings it back.
        server.call("POST", "/admin/databases/disable", {"DatabaseNames": ["db"]})
        server.call("POST", "/admin/databases/enable", {"DatabaseNames": ["db"]})
        assert server.call("GET", "/databases/db/docs?id=after/1")[0] == 200
        assert put(server, "after/2")[0] == 201


def test_a_stalling_disk_refuses_with_busy(tmp_path: Path, shim: Path) -> None:
    """Stalls of 2 s: the queue is bounded in bytes, who does not fit gets 503 with Retry-After, no answer is wrong."""
    body = b'{"a":"' + b"y" * 30_000_000 + b'","b":"' + b"z" * 30_000_000 + b'"}'
    answers: dict[int, tuple[int, dict, dict]] = {}
    with served(tmp_path / "data", *NO_WATERMARK, shim=shim) as server:
        server.disk(0, milliseconds=2_000, name="Databases/db/journal.")

        def write(number: int) -> None:
            answers[number] = put(server, f"big/{number}", body)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        server.until(lambda: any(answer[0] == 503 for answer in list(answers.values())), 20)
        server.heal()
        for thread in threads:
            thread.join()
        refused = [answer for answer in answers.values() if answer[0] == 503]
        assert refused and all("MERGER_QUEUE_SIZE_BYTES_MAX" in answer[1]["Message"] for answer in refused), [
            answer[:2] for answer in answers.values()
        ]
        assert all(answer[2].get("retry-after") == "1" for answer in refused)
        for number, answer in answers.items():
            found = server.call("GET", f"/databases/db/docs/size?id=big/{number}")[0]
            assert (answer[0], found) in ((201, 200), (503, 404)), (number, answer[:2], found)


def test_a_full_volume_refuses_and_resumes(tmp_path: Path) -> None:
    """64 MB that fill up: documents are refused with the reason, reads, deletes and checkpoints go on, and back."""
    with volume(tmp_path, 64) as disk:
        with served(disk.path / "data", *WATERMARK) as server:
            body = {"text": "w" * 20_000}
            written = 0
            while written < 20_000:
                status, answer, _ = put(server, f"docs/{written}", {**body, "n": str(written) * 500})
                if status != 201:
                    break
                written += 1
            assert status == 507 and answer["Type"].endswith("DiskFullException"), (status, answer)
            server.until(lambda: "documents are refused" in str(server.call("GET", "/health")[1]["problems"]))
            # Health measures when asked; the databases hear of it at the next look at the disk.
            server.until(lambda: "Storage.FreeSpaceRefuseInMb" in str(put(server, "docs/more", body)[1]))
            assert put(server, "docs/more", body)[0] == 507
            assert "pynori_disk_refuses 1.0" in urlopen_text(server, "/metrics")
            for number in range(0, written, 50):
                assert server.call("GET", f"/databases/db/docs?id=docs/{number}")[0] == 200, number
            for number in range(0, written, 2):
                status, answer, _ = server.call("DELETE", f"/databases/db/docs?id=docs/{number}")
                assert status == 204, (number, status, answer)
            assert server.call("GET", "/databases/db/docs?id=docs/1")[0] == 200
            server.kill()
        # The files open again on the full volume.
        with served(disk.path / "data", *NO_WATERMARK) as server:
            assert server.call("GET", "/databases/db/docs?id=docs/1")[0] == 200
            assert server.call("GET", "/databases/db/docs?id=docs/0")[0] == 404


def test_documents_are_taken_again_without_a_restart(tmp_path: Path) -> None:
    """Somebody else fills the volume and leaves again: documents are refused meanwhile, and taken afterwards."""
    with volume(tmp_path, 64) as disk, served(disk.path / "data", *WATERMARK) as server:
        assert put(server, "docs/1")[0] == 201
        other = disk.path / "other"
        with other.open("wb") as file:
            try:
                while True:
                    file.write(bytes(1 << 20))
                    file.flush()
            except OSError:
                pass
        server.until(lambda: put(server, "docs/2")[0] == 507)
        assert server.call("GET", "/databases/db/docs?id=docs/1")[0] == 200
        assert server.call("DELETE", "/databases/db/docs?id=docs/1")[0] == 204
        other.unlink()
        server.until(lambda: put(server, "docs/3")[0] == 201)
        assert server.call("GET", "/health")[1]["disk"]["refuses_documents"] is False


def urlopen_text(server: ServerProcess, path: str) -> str:
    with urllib.request.urlopen(server.url + path, timeout=20) as answer:
        return str(answer.read().decode())
