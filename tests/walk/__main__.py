"""Perform walkthroughs: `python -m tests.walk [W1 ...]`, or all. Ends with 1 when something was seen otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.walk import w01, w03, w04, w09, w13
from tests.walk.stage import Stage

WALKS: dict[str, Callable[[Stage], None]] = {
    "W1": w01.walk, "W2": w01.walk_two, "W3": w03.walk, "W4": w04.walk, "W5": w04.walk_assurance,
    "W6": w04.walk_reads, "W7": w09.walk_skipped, "W9": w09.walk_vectors, "W10": w09.walk_conflict,
    "W11": w09.walk_rules, "W12": w03.walk_majorities, "W13": w13.walk, "W15": w13.walk_promotion,
}  # fmt: skip


def perform(name: str, quiet: bool = False) -> Stage:
    """One walkthrough on a stage of its own; its observations and failures are on the stage that is returned."""
    stage = Stage(name, quiet)
    try:
        WALKS[name](stage)
    except Exception as error:
        stage.see("the story goes on", "it does", repr(error))
    finally:
        stage.end()
    return stage


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in WALKS]
    if unknown:
        print(f"there is no walkthrough {', '.join(unknown)}: {', '.join(WALKS)}", file=sys.stderr)
        return 2
    stages = [perform(name) for name in names or WALKS]
    print()
    for stage in stages:
        print(f"{stage.name:4} {stage.observations - len(stage.failures)} of {stage.observations} as expected")
        for failure in stage.failures:
            print(f"     {failure}")
    return 1 if any(stage.failures for stage in stages) else 0


if __name__ == "__main__":
    sys.exit(main([name.upper() for name in sys.argv[1:]]))
