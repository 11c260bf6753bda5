"""Write into our own raft stories what they print now: `python -m tests.cluster.rewrite_stories`; read the diff."""

from pathlib import Path

from tests.cluster.datadriven import rewrite_file
from tests.cluster.raft_stage import Stage

if __name__ == "__main__":
    for path in sorted((Path(__file__).resolve().parent / "testdata").glob("raft_*.txt")):
        path.write_text(rewrite_file(path, Stage().handle))
