"""The official Node client, unmodified, against a real server process: what a first application does.

The client is found in the folder that PYNORI_NODE_MODULES names, or npm installs it once into pytest's cache. Without
node or npm the tests fail and say what is missing; PYNORI_SKIP_NODE=1 leaves them out on purpose.
"""

import os
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

CLIENT = "ravendb@7.2"
FOLDER = Path(__file__).parent
SCENARIO_SECONDS_MAX = 30
INSTALL_SECONDS_MAX = 300

pytestmark = pytest.mark.skipif(os.environ.get("PYNORI_SKIP_NODE") == "1", reason="PYNORI_SKIP_NODE=1")

SCENARIOS = {
    "life": "A document is stored, loaded, changed and deleted; its change vector moves with each save.",
    "several": "Several ids at once, missing ones among them, and ids and text beyond ASCII.",
    "concurrency": "The slower of two sessions fails whole; what must be new and is not, fails too.",
    "includes": "An included document costs no second request.",
    "lazy": "Lazy loads share one request, also for what is not there.",
    "bulk": "2,000 documents go in through one stream, with ids given and generated, and are counted.",
    "prefix": "Listings by prefix: page, pattern, exclusion, start and start after.",
    "stream": "All documents stream out in order, with ids, metadata and change vectors.",
    "ids": "HiLo ids are consecutive from 1; `users/` is completed by the server.",
    "identities": "`people|` counts by the cluster, can be seeded and listed.",
    "databases": "A database is created once, listed, described and deleted.",
    "queries": "Documents are found by a range and by a name whatever its case, in the order that was asked for.",
    "unsupported": "A subscription, which this version does not have, fails with an error that names the request.",
}

QUERY_SCENARIOS = {
    "builder": "What the query builder can say of documents without an index of their own, and groups.",
    "projections": "Chosen fields, scripts, loaded documents, `filter`, distinct rows.",
    "scripts": "Indexes in JavaScript: a map that loads, a map-reduce, their definitions, terms and statistics.",
    "sharp": "Indexes in C#: computed and spatial fields; what does not compile fails as such.",
    "words": "Suggestions, highlighting, explanations, timings, more like this.",
    "facets": "Facets by term, by range, paged, and from a stored set-up.",
    "streams": "Query results as streams with their statistics, and lazy queries in one request.",
    "changes": "Patches and deletion by query, over an index and over a collection.",
    "management": "Indexes are paused, locked, disabled, built anew and deleted; sorters and analyzers come and go.",
}


@pytest.fixture(scope="session")
def node_modules(request: pytest.FixtureRequest) -> Path:
    """The folder that holds the client."""
    if shutil.which("node") is None:
        pytest.fail("node is not installed (Debian: apt-get install nodejs npm); PYNORI_SKIP_NODE=1 skips these tests")
    named = os.environ.get("PYNORI_NODE_MODULES")
    if named:
        modules = Path(named).resolve()
        if not (modules / "ravendb").is_dir():
            pytest.fail(f"PYNORI_NODE_MODULES={named} holds no ravendb; npm install {CLIENT} beside it")
        return modules
    if shutil.which("npm") is None:
        pytest.fail(f"npm is not installed, and PYNORI_NODE_MODULES names no folder that holds {CLIENT}")
    folder = request.config.cache.mkdir("node-client")
    modules = Path(folder) / "node_modules"
    if not (modules / "ravendb" / "package.json").is_file():
        command = ["npm", "install", "--prefix", str(folder), "--no-save", "--silent", CLIENT]
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX)
        if done.returncode != 0:
            pytest.fail(f"{' '.join(command)} failed:\n{done.stderr}")
    return modules


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_node_client(scenario: str, server_url: str, node_modules: Path) -> None:
    """Each scenario of the script holds; SCENARIOS says what it proves."""
    run("node_client.cjs", scenario, server_url, node_modules, SCENARIOS[scenario])


@pytest.mark.parametrize("scenario", QUERY_SCENARIOS)
def test_node_client_queries(scenario: str, server_url: str, node_modules: Path) -> None:
    """Each scenario of queries and indexes holds; QUERY_SCENARIOS says what it proves."""
    run("node_queries.cjs", scenario, server_url, node_modules, QUERY_SCENARIOS[scenario])


def run(script: str, scenario: str, server_url: str, node_modules: Path, proves: str) -> None:
    database = f"node-{uuid.uuid4().hex[:12]}"
    command = ["node", str(FOLDER / script), str(node_modules), server_url, database, scenario]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SCENARIO_SECONDS_MAX)
    assert done.returncode == 0, f"{proves}\n{done.stdout}{done.stderr}"
