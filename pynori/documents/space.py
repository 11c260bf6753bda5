"""Where the bytes of a database are: trees, collections, free space, journals. The parts add up to the files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pynori_core.items import DocumentStore
from pynori_core.space import space

if TYPE_CHECKING:
    from pynori_core.space import CollectionSpace, TreeSpace


@dataclass(frozen=True, slots=True)
class SpaceReport:
    """All in bytes."""

    files: dict[str, int]  # every file of the folder, by name, as long as it is
    trees: list[TreeSpace]
    collections: list[CollectionSpace]  # live rows; only when they were asked for
    file_bytes: int  # data file: trees, structure and free space
    structure_bytes: int
    free_bytes: int
    version_bytes: int  # page images in memory

    @property
    def journal_bytes(self) -> int:
        return sum(size for name, size in self.files.items() if name.startswith("journal."))

    @classmethod
    def of(cls, store: DocumentStore, directory: Path | None, *, collections: bool = False) -> SpaceReport:
        """The report of this moment; with `collections` every row is read."""
        found = space(store, collections)
        files = {} if directory is None else {entry.name: entry.stat().st_size for entry in directory.iterdir()}
        return cls(
            files, found["trees"], found["collections"], found["file_bytes"], found["structure_bytes"],
            found["free_bytes"], found["version_bytes"],
        )  # fmt: skip

    def lines(self) -> list[str]:
        """For people."""
        made = [f"{'data file':<34}{self.file_bytes:>16,}"]
        for tree in self.trees:
            size = tree["branch_bytes"] + tree["leaf_bytes"] + tree["run_bytes"]
            made.append(f"  tree {tree['name']:<27}{size:>16,}  {tree['entries']} entries")
        made.append(f"  {'headers, catalog, bitmaps':<32}{self.structure_bytes:>16,}")
        made.append(f"  {'free':<32}{self.free_bytes:>16,}")
        made += [f"{name:<34}{size:>16,}" for name, size in sorted(self.files.items()) if name != "data.pynori"]
        made.append(f"{'all files':<34}{sum(self.files.values()):>16,}")
        made.append(f"{'page images in memory':<34}{self.version_bytes:>16,}")
        for collection in self.collections:
            line = (
                f"collection {collection['name']}: {collection['documents']} documents of "
                f"{collection['document_bytes']:,} bytes, {collection['tombstones']} tombstones of "
                f"{collection['tombstone_bytes']:,}"
            )
            if collection["versions"]:
                line += f", {collection['versions']} versions in conflict of {collection['version_bytes']:,}"
            made.append(line)
        return made
