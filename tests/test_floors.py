"""Imports and cimports go down the floors only; this test names each line that goes up or sideways.

The floors are ARCHITECTURE.md's table. A module that needs something from above has found a struct that belongs lower.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "ext" / "pynori_core"
SERVER = ROOT / "pynori"

# Floors of the engine, from the bottom. A module may cimport its own floor's earlier modules and every lower floor.
CORE_FLOORS: list[list[str]] = [
    [
        "bits", "errors", "format", "threads", "forks", "guard", "handles", "checksum", "arena", "codec", "output",
        "completion",
    ],
    [
        "blittable", "field_value", "analyze", "places", "covers", "edits", "schema", "builder", "json", "json_scan",
        "framing", "http_wire",
    ],
    ["disk", "fault_disk", "sim_disk", "pager", "spill", "scratch", "record", "journal"],
    ["freespace", "state", "txn", "checkpoint", "recovery", "env"],
    ["slotted", "catalog", "btree", "cursor", "table", "views"],
    [
        "change_vector", "timestamp", "identifier", "tables", "departures", "conflicts", "hints", "command",
        "row_writes", "versions", "writes", "items", "includes", "listing", "reads", "item_frames", "conflict_reads",
        "document_snapshot", "expr_dates", "expr_values", "expr_functions", "expr_eval", "expr_run", "expr", "matches",
        "posting", "index_terms", "index_entry", "index_trees", "index_columns", "index_batch", "index_flush",
        "index_search", "index_bounds", "index_order", "index_rank", "index_values", "index_feed", "index_field",
        "index_writer", "index_listing", "index_snapshot", "index_page", "index_results", "index_store", "reduce_store",
        "reduce_sums", "reduce_program", "index_program", "text_analyzer",
    ],
    [
        "ahead", "cleaner", "merger", "document_writer", "capi", "compact", "space", "check", "check_trees",
        "check_documents", "check_index", "dump", "salvage_pages", "salvage", "scrub", "hooks",
    ],
]

# Packages of the server: floor number, and the siblings of the same floor that it may import.
SERVER_FLOORS: dict[str, tuple[int, set[str]]] = {
    "errors": (0, set()),
    "limits": (0, set()),
    "config": (0, {"errors", "limits", "runtime"}),
    "runtime": (0, {"errors", "limits"}),
    "text": (1, set()),
    "spatial": (1, set()),
    "js": (1, set()),
    "expr": (1, set()),
    "linq": (1, {"expr"}),
    "rql": (1, {"expr"}),
    "documents": (2, set()),
    "embed": (3, set()),
    "indexes": (3, set()),
    "replication": (3, set()),
    "queries": (4, set()),
    "cluster": (2, set()),
    "client": (2, set()),
    "server": (5, set()),
    "http": (6, set()),
    "cli": (7, set()),
}
# The server's packages that may not touch one another although their floors would allow it.
FORBIDDEN = {
    ("cluster", "documents"), ("client", "server"), ("client", "documents"), ("client", "cluster"), ("rql", "linq"),
    ("replication", "cluster"),
}  # fmt: skip
# Libraries that exactly one package may import.
OWNED_LIBRARIES = {
    "httptools": {"http", "runtime"}, "websockets": {"http"}, "click": {"cli"}, "rich": {"cli"}, "lz4": {"runtime"},
    "snowballstemmer": {"text"}, "quickjs": {"js"}, "numpy": {"queries"},
}  # fmt: skip


# What the raft core and SWIM may not even take from the standard library: whatever is not a function of its input.
IMPURE = {"time", "datetime", "random", "secrets", "socket", "select", "asyncio", "threading", "os", "sys", "uuid"}


def core_floor(module: str) -> int:
    for number, names in enumerate(CORE_FLOORS):
        if module in names:
            return number
    raise AssertionError(f"pynori_core.{module} stands on no floor: add it to CORE_FLOORS and to ARCHITECTURE.md")


def core_imports(path: Path) -> list[tuple[int, str]]:
    """(line, module of pynori_core) for each import and cimport of a .pyx or .pxd."""
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r"\s*(?:from|c?import)\s+pynori_core\.(\w+)", line)
        if match:
            found.append((number, match.group(1)))
        match = re.match(r"\s*from\s+pynori_core\s+c?import\s+(\w+)", line)
        if match:
            found.append((number, match.group(1)))
        assert not re.match(r"\s*(from|import)\s+pynori[.\s]", line), f"{path}:{number}: the engine imports the server"
    return found


def test_engine_modules_use_lower_floors_only() -> None:
    """Each cimport of the engine names a module on the same or a lower floor."""
    wrong = []
    for path in sorted(CORE.glob("*.p[yx]*")):
        if path.suffix not in (".pyx", ".pxd", ".py") or path.stem == "__init__":
            continue
        here = core_floor(path.stem)
        for line, module in core_imports(path):
            if core_floor(module) > here:
                there = core_floor(module)
                wrong.append(f"{path.relative_to(ROOT)}:{line} (floor {here}) uses {module} (floor {there})")
    assert not wrong, "\n".join(wrong)


def test_engine_has_no_circles() -> None:
    """Following .pxd cimports from any engine module never leads back to it."""
    uses = {path.stem: {m for _, m in core_imports(path)} - {path.stem} for path in CORE.glob("*.pxd")}

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, "circle: " + " > ".join((*path, module))
        for other in uses.get(module, ()):
            visit(other, (*path, module))

    for module in uses:
        visit(module, ())


def server_imports(path: Path) -> list[tuple[int, str]]:
    """(line, dotted module) of every import of a Python file, those inside functions included."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full"
            found.append((node.lineno, node.module or ""))
    return found


def test_server_packages_use_lower_floors_only() -> None:
    """Each import between packages of the server goes down, and each fenced library stays in its package."""
    wrong = []
    for path in sorted(SERVER.rglob("*.py")):
        package = path.relative_to(SERVER).parts[0].removesuffix(".py")
        if package in ("__init__", "__main__"):
            continue
        assert package in SERVER_FLOORS, f"pynori/{package} stands on no floor: add it to SERVER_FLOORS"
        floor, siblings = SERVER_FLOORS[package]
        for line, module in server_imports(path):
            parts = module.split(".")
            where = f"{path.relative_to(ROOT)}:{line}"
            if package not in OWNED_LIBRARIES.get(parts[0], {package}):
                wrong.append(f"{where} imports {parts[0]}, which belongs to {OWNED_LIBRARIES[parts[0]]}")
            if parts[0] != "pynori" or len(parts) < 2 or parts[1] == package:
                continue
            other, (other_floor, _) = parts[1], SERVER_FLOORS[parts[1]]
            sideways = other_floor == floor and other not in siblings
            if other_floor > floor or sideways or (package, other) in FORBIDDEN:
                wrong.append(f"{where} ({package}, floor {floor}) imports {other} (floor {other_floor})")
    assert not wrong, "\n".join(wrong)


def test_raft_and_swim_are_pure() -> None:
    """They import the standard library and themselves, and nothing that knows time, chance or the world."""
    wrong = []
    cluster = SERVER / "cluster"
    groups = (
        ("pynori.cluster.raft", sorted((cluster / "raft").glob("*.py"))),
        ("pynori.cluster.swim_types", [cluster / "swim.py", cluster / "swim_types.py"]),
    )
    for own, paths in groups:
        assert paths
        for path in paths:
            for line, module in server_imports(path):
                top = module.split(".")[0]
                is_own = module == own or module.startswith(own + ".")
                if not is_own and (top not in sys.stdlib_module_names or top in IMPURE):
                    wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)
