"""Makes the golden files of the current format: python -m tests.compat.make. Done once for each format version.

A database with everything in it, as a crash leaves it: its data file, and a journal with live records. Never made anew
for a version that was released: then the file is the only witness of what that version wrote.
"""

import io
import json
import shutil
import struct
import tarfile
from pathlib import Path

from tests.damage.runner import workplace
from tests.damage.sample import DATA, build

HERE = Path(__file__).resolve().parent
VERSION_OFFSET = 8                 # in the file header
SIZE_BYTES_MAX = 100 * 1024


def main() -> None:
    place = workplace()
    sample = build(place / "db", seed=20, documents=30, large=9_000)
    shutil.rmtree(place)
    target = HERE / str(struct.unpack_from("<I", sample.files[DATA], VERSION_OFFSET)[0])
    target.mkdir()
    with tarfile.open(target / "database.tar.xz", "w:xz") as archive:
        for name, content in sorted(sample.files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    truth = {"documents": {id: versions[-1] for id, versions in sample.versions.items() if versions[-1]},
             "tombstones": sample.answers["counts"][1], "last_etag": sample.answers["counts"][2]}  # fmt: skip
    (target / "documents.json").write_text(json.dumps(truth, indent=0) + "\n")
    size = sum(path.stat().st_size for path in target.iterdir())
    assert size < SIZE_BYTES_MAX, f"{size} bytes are too many for a repository"
    print(f"{target}: {size} bytes")


if __name__ == "__main__":
    main()
