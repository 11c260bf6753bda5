"""Coverage-guided runs of the targets, behind `ci/fuzz`: builds driver and engine, runs, keeps what a run found.

    python -m tests.fuzz.run [TARGET ...] [--seconds N] [--keep] [--record]

Each target runs for its seconds in a directory build/fuzz/inputs/TARGET that goes on growing from run to run and begins
with the kept corpus and seeds.py. A crash, an exception that leaves the target, a sanitizer's report, an input that
takes longer than a limit or more memory than one stays behind as build/fuzz/findings/TARGET-...; the run ends with 1
then. --keep reduces the working corpus to the few inputs that cover the most and writes them to
tests/fuzz/corpus/TARGET/found.hex.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
LEDGER = ROOT / "tests" / "ledger" / "fuzz.md"
BUILD = ROOT / "build" / "fuzz"
FOUND = "found.hex"            # one input a line, shortest first
FOUND_BYTES_MAX = 6_000        # of the inputs kept for one target
SECONDS_MAX = 10               # for one input; the instrumented build is about ten times slower than the release
MALLOC_MEGABYTES_MAX = 200     # in one piece: the largest document has 64 MB
RSS_MEGABYTES_MAX = 3000
INPUT_BYTES_MAX = {
    "json_text": 4096, "blittable": 2048, "page": 256, "journal": 512, "linq": 600, "program": 1024, "http": 1500,
}  # fmt: skip
INPUT_BYTES_USUAL = 300


def parse_found(path: Path) -> list[bytes]:
    return [bytes.fromhex(line) for line in path.read_text().splitlines()]


def corpus(target: str) -> dict[str, bytes]:
    """The kept inputs of a target by name: files with a name of their own, and the lines of found.hex."""
    inputs = {}
    for path in sorted((CORPUS / target).iterdir()):
        if path.name == FOUND:
            inputs.update({f"{FOUND}:{number}": data for number, data in enumerate(parse_found(path), 1)})
        else:
            inputs[path.name] = path.read_bytes()
    return inputs


def build() -> Path:
    """The driver, linked against this interpreter's library, beside the engine's instrumented modules."""
    compiler = os.environ.get("PYNORI_CLANG", "clang-14")
    subprocess.run(["ci/build", "fuzz"], cwd=ROOT, check=True)
    driver = BUILD / "driver"
    library = sysconfig.get_config_var("LIBDIR")
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        sys.exit("ci/fuzz needs a Python with a shared library (configured with --enable-shared)")
    subprocess.run(
        [
            *compiler.split(), "-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-rdynamic",
            str(ROOT / "tests" / "fuzz" / "driver.c"), "-o", str(driver), f"-I{sysconfig.get_config_var('INCLUDEPY')}",
            f"-L{library}", f"-Wl,-rpath,{library}", f"-lpython{sysconfig.get_config_var('LDVERSION')}",
        ],
        check=True,
    )  # fmt: skip
    return driver


def environment(target: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": f"{BUILD}:{ROOT}",
        "PYTHONMALLOC": "malloc",
        "PYNORI_FUZZ_PYTHON": sys.executable,
        "PYNORI_FUZZ_TARGET": target,
        # Fresh memory is filled, so that what was never written shows in an answer. Leaks: see tests/core/conftest.py.
        "ASAN_OPTIONS": "detect_leaks=0:max_malloc_fill_size=65536:malloc_fill_byte=165",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def fill(work: Path, target: str) -> None:
    """The kept corpus and the seeds, into the directory in which the target works."""
    script = (
        "import sys, hashlib, pathlib; from tests.fuzz.seeds import seeds; work = pathlib.Path(sys.argv[1]); "
        "[(work / hashlib.sha1(data).hexdigest()).write_bytes(data) for data in seeds(sys.argv[2])]"
    )
    work.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-c", script, str(work), target], env=environment_release(), cwd=ROOT, check=True)
    if (CORPUS / target).is_dir():
        for name, data in corpus(target).items():
            (work / f"kept-{name.replace(':', '-')}").write_bytes(data)


def environment_release() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT / 'ext'}:{ROOT}"}


def fuzz(driver: Path, target: str, seconds: int) -> tuple[int, int, list[str]]:
    """Run one target; executions, edges covered, names of findings."""
    work, findings = BUILD / "inputs" / target, BUILD / "findings"
    fill(work, target)
    findings.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    log = BUILD / f"{target}.log"
    with log.open("wb") as out:
        subprocess.run(
            [
                str(driver), str(work), f"-max_total_time={seconds}", "-print_final_stats=1", "-use_value_profile=1",
                f"-timeout={SECONDS_MAX}", f"-malloc_limit_mb={MALLOC_MEGABYTES_MAX}",
                f"-rss_limit_mb={RSS_MEGABYTES_MAX}", f"-max_len={INPUT_BYTES_MAX.get(target, INPUT_BYTES_USUAL)}",
                "-len_control=20", "-reload=0", "-handle_xfsz=0", f"-artifact_prefix={findings}/{target}-",
            ],
            cwd=ROOT, env=environment(target), stdout=out, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    text = log.read_text(errors="replace")
    executions = re.findall(r"number_of_executed_units: (\d+)", text) or re.findall(r"(?m)^#(\d+)\t", text)[-1:]
    if not executions:
        sys.exit(f"{target} did not run:\n{text[-3000:]}")
    covered = re.findall(r" cov: (\d+) ", text)
    found = sorted(path.name for path in set(findings.iterdir()) - before)
    if found:
        print(text[-6000:])
    return int(executions[0]), int(covered[-1]) if covered else 0, found


def keep(driver: Path, target: str) -> None:
    """Reduce what a target works with to inputs that cover the most, as many as fit; write them to its found.hex."""
    work, chosen = BUILD / "inputs" / target, BUILD / "chosen" / target
    shutil.rmtree(chosen, ignore_errors=True)
    chosen.mkdir(parents=True)
    subprocess.run(
        [str(driver), "-set_cover_merge=1", "-max_len=300", str(chosen), str(work)],
        cwd=ROOT, env=environment(target), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    lines, total = [], 0
    for data in sorted((path.read_bytes() for path in chosen.iterdir()), key=lambda data: (len(data), data)):
        total += len(data)
        if total <= FOUND_BYTES_MAX and data:
            lines.append(data.hex())
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    (CORPUS / target / FOUND).write_text("\n".join(lines) + "\n")
    print(f"{target}: kept {len(lines)} of {len(list(work.iterdir()))} inputs")


def record(target: str, seconds: int, executions: int, covered: int, found: list[str]) -> None:
    asked = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    date = datetime.now(UTC).date().isoformat()
    with LEDGER.open("a") as ledger:
        ledger.write(f"| {date} | {commit} | {target} | {seconds} | {executions} | {covered} | {len(found)} |\n")


def targets() -> list[str]:
    listing = subprocess.run(
        [sys.executable, "-c", "from tests.fuzz.targets import TARGETS; print(*[t.__name__ for t in TARGETS])"],
        env=environment_release(), cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return listing.stdout.split()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("targets", nargs="*", metavar="TARGET")
    arguments.add_argument("--seconds", type=int, default=60, help="for each target")
    arguments.add_argument("--keep", action="store_true", help="write what was found to the kept corpus")
    arguments.add_argument("--record", action="store_true", help="add a line for each target to the ledger")
    given = arguments.parse_args()
    known = targets()
    if wrong := set(given.targets) - set(known):
        arguments.error(f"no target {', '.join(sorted(wrong))}; there are {', '.join(known)}")
    driver = build()
    failed = False
    for target in given.targets or known:
        start = time.monotonic()
        executions, covered, found = fuzz(driver, target, given.seconds)
        seconds = round(time.monotonic() - start)
        figures = f"{executions} executions in {seconds} s, {covered} edges, {len(found)} findings"
        print(f"{target}: {figures}", *found, flush=True)
        failed = failed or bool(found)
        if given.record:
            record(target, seconds, executions, covered, found)
        if given.keep and not found:
            keep(driver, target)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
