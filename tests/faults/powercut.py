"""Power cuts on a real ext4: a child writes, the file system is shut down under it, mounted again, and checked.

    python -m tests.faults.powercut [CUTS] [--options commit=1]

The shutdown drops all that was not synced, journal of the file system included, as a cut of the power does. A child
says over a pipe which transactions were acknowledged; all of them must be there, whole, and no later one in part.
`cut_without_sync` proves that the instrument sees a loss: a plain file that was not synced must be gone.
"""

import argparse
import fcntl
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pynori_core.env import Env

from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)
from tests.core import crash_writer
from tests.faults.tools import Volume

FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
VOLUME_MB = 160
CHECKPOINT_BYTES = 400_000


def shut_down(mounted: Path) -> None:
    """Cut the power of a mounted volume. Raises: OSError where the kernel does not allow it."""
    descriptor = os.open(mounted, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, NO_LOG_FLUSH.to_bytes(4, "little"))
    finally:
        os.close(descriptor)


def cut_without_sync(volume: Volume) -> bool:
    """Whether a cut loses what was not synced, as it must."""
    (volume.path / "unsynced").write_bytes(b"x" * 8_192)
    shut_down(volume.path)
    volume.unmount()
    volume.mount()
    target = volume.path / "unsynced"
    return not target.exists() or target.stat().st_size == 0


def cut_once(volume: Volume, seed: int, run_ms: float) -> int:
    """Let the child write, cut, mount again; returns the last transaction that was acknowledged before the cut."""
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.core.crash_writer", str(volume.path / "env"), str(seed), str(CHECKPOINT_BYTES)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert child.stdout is not None
    first = child.stdout.readline()
    time.sleep(run_ms / 1_000)
    shut_down(volume.path)
    # After the cut nothing can be acknowledged, unless the engine takes a failed sync for a good one.
    time.sleep(0.01)
    child.kill()
    lines = (first + child.stdout.read()).split(b"\n")[:-1]
    child.wait()
    volume.unmount()
    volume.mount()
    return int(lines[-1]) if lines else 0


def check(volume: Volume, seed: int, acknowledged: int) -> int:
    """Everything acknowledged is there and nothing else in part; returns the last transaction that survived."""
    with Env.open(volume.path / "env") as env, env.read() as txn:
        survived = int(txn.id)
        if not acknowledged <= survived <= acknowledged + 1:
            raise AssertionError(f"seed {seed}: transaction {acknowledged} was acknowledged, {survived} survived")
        for page, image in (crash_writer.images(seed, survived).items() if survived else ()):
            if txn.page(page)[64:] != image[64:]:
                raise AssertionError(f"seed {seed}: page {page} is not as of transaction {survived}")
    return survived


def run(volume: Volume, cuts: int, seed: int) -> int:
    """`cuts` lives of one environment, each ended by a cut; returns the transactions that were acknowledged."""
    dice = random.Random(seed)
    Env.create(volume.path / "env").close()
    survived = 0
    for _ in range(cuts):
        acknowledged = max(cut_once(volume, seed, dice.random() * 120), survived)
        survived = check(volume, seed, acknowledged)
    with Env.open(volume.path / "env") as env:
        env.checkpoint()
    return survived


def main() -> int:
    parser = argparse.ArgumentParser(description="Cut the power of a real ext4 under a writing process.")
    parser.add_argument("cuts", type=int, nargs="?", default=200)
    parser.add_argument("--options", default="", help="mount options, such as commit=1 or data=writeback")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(2**31)
    left = arguments.cuts
    began = time.monotonic()
    transactions = 0
    while left > 0:
        # A new volume for every fifty: replaying a child's history by the model takes longer the longer it is.
        with tempfile.TemporaryDirectory() as folder:
            volume = Volume(Path(folder), VOLUME_MB, arguments.options)
            try:
                if not cut_without_sync(volume):
                    raise AssertionError("a cut loses nothing that was not synced: the instrument is blind")
                transactions += run(volume, min(left, 50), seed)
            finally:
                volume.unmount()
        done = arguments.cuts - max(left - 50, 0)
        print(f"{done} cuts, seed {seed}, {transactions} transactions, none lost", flush=True)
        left -= 50
        seed += 1
    print(f"{arguments.cuts} cuts in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
