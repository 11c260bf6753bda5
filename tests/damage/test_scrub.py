"""The scrubber finds what rotted in the file of an open database, and passes over what is being written."""

import random
import shutil
import threading
from pathlib import Path

from pynori_core.items import DocumentStore
from pynori_core.scrub import scrub

from tests.damage.sample import DATA, PAGE_SIZE, Builder, Sample, write_files


def scrub_all(store: DocumentStore, step: int = 7) -> tuple[int, list[tuple[int, int, str]]]:
    """Pages read and findings of a whole pass."""
    page = read = 0
    found: list[tuple[int, int, str]] = []
    while True:
        page, pages, findings = scrub(store, page, step)
        read += pages
        for first, count, why in findings:
            if found and found[-1][0] + found[-1][1] == first:
                found[-1] = (found[-1][0], found[-1][1] + count, found[-1][2])   # the step ended within
            else:
                found.append((first, count, why))
        if page == 0:
            return read, found


def open_checkpointed(place: Path, sample: Sample) -> DocumentStore:
    write_files(place, sample.files)
    store = DocumentStore.open(str(place), "A")
    store.checkpoint()
    return store


def test_a_whole_database_is_read_and_nothing_found(sample: Sample, place: Path) -> None:
    """Every page in use is read once, whatever the step."""
    store = open_checkpointed(place / "db", sample)
    reads = {scrub_all(store, step) == scrub_all(store, 1_000_000) for step in (1, 2, 5, 50)}
    assert reads == {True}
    read, found = scrub_all(store)
    assert not found and read >= len(sample.pages) + len(sample.covered)
    store.close()
    shutil.rmtree(place / "db")


def test_damage_is_found_page_by_page(sample: Sample, place: Path) -> None:
    """Each page in use, damaged in the file behind the open database's back, is found, and only that one."""
    store = open_checkpointed(place / "db", sample)
    path = place / "db" / DATA
    whole = path.read_bytes()
    used = sorted({*sample.pages, *sample.covered} - {2})
    for page in used:
        with path.open("r+b") as file:
            file.seek(page * PAGE_SIZE + 100)
            file.write(b"\xee\x01")
        _, found = scrub_all(store)
        assert len(found) == 1 and found[0][2].startswith(f"data.pynori page {found[0][0]}:")
        # The inner page of a run is told by its first one, and what follows a broken first page fails with it.
        assert found[0][0] <= page < found[0][0] + max(found[0][1], 10)
        with path.open("r+b") as file:
            file.write(whole)
        assert scrub_all(store)[1] == []
    store.close()
    shutil.rmtree(place / "db")


def test_a_cut_file_is_a_finding(sample: Sample, place: Path) -> None:
    """Pages that are not there any more are told like damaged ones."""
    store = open_checkpointed(place / "db", sample)
    path = place / "db" / DATA
    whole = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(20 * PAGE_SIZE)
    _, found = scrub_all(store)
    assert found and "is cut off" in found[0][2]
    path.write_bytes(whole)
    store.close()
    shutil.rmtree(place / "db")


def test_scrubbing_while_others_write(place: Path) -> None:
    """Under writes, deletions and checkpoints of runs and rows a sound database has no findings."""
    builder = Builder(place / "db", random.Random(3))
    stop = threading.Event()
    failures: list[object] = []
    passes = 0

    def work() -> None:
        dice = random.Random(4)
        try:
            for _ in range(60):
                builder.put(*((f"users/{dice.randrange(40)}", "Users", dice.choice([100, 5_000, 20_000, 60_000]))
                              for _ in range(6)))
                if dice.randrange(3) == 0:
                    builder.store.checkpoint()
        except Exception as error:
            failures.append(error)
        finally:
            stop.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not stop.is_set():
        failures += scrub_all(builder.store, 3)[1]
        passes += 1
    thread.join()
    assert not failures and passes
    builder.close()
    shutil.rmtree(place / "db")
