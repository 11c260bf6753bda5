"""Settings: THE table of options, and how a value is found: command line > environment > file > default.

An option has RavenDB's name where RavenDB has one (`ServerUrl`, `DataDir`) and short aliases; the command line takes
`--name value`, `--name=value` and, for switches, `--name`, in any case. The environment is `PYNORI_` + a name with its
dots and dashes as underscores (`PYNORI_SERVERURL`, `PYNORI_DATA_DIR`), or `RAVEN_` + RavenDB's name. The file is TOML
or JSON, nested or with dots; `PYNORI_SETTINGS` may hold such an object itself.

A wrong value or an unknown name is a `BadSetting`: one line with key, value, source and what is allowed. RavenDB's own
settings that have no meaning here are accepted with a note, so that its drivers and files work as they are; those that
ask for security are refused, for a server that only seems to be secured is worse than none.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pynori import limits
from pynori.errors import BadSetting

EXIT_BAD_SETTING = 78  # EX_CONFIG: service units do not restart on it


@dataclass(frozen=True, slots=True)
class Settings:
    """The effective settings of one server. One field for each row of OPTIONS."""

    server_url: str = "http://127.0.0.1:8080"
    tcp_url: str | None = None
    public_url: str | None = None
    rpc_addr: str | None = None
    data_dir: Path = Path("pynori-data")
    run_in_memory: bool = False
    node_id: str | None = None
    sample: bool = False
    log_format: str = "text"
    log_level: str = "info"
    log_directory: Path | None = None
    shutdown_grace_seconds: int = limits.SHUTDOWN_GRACE_MS // 1_000
    unsecured_access: str = "Local"
    allow_unsafe_filesystem: str | None = None
    disk_free_warn_percent: int = limits.DISK_FREE_WARN_PERCENT
    disk_free_refuse_percent: int = limits.DISK_FREE_REFUSE_PERCENT
    disk_free_refuse_megabytes: int = limits.DISK_FREE_REFUSE_BYTES // 2**20
    scrub_megabytes_per_second: int = 4
    features_availability: str = "Stable"
    election_timeout_ms: int = limits.RAFT_ELECTION_MS
    probe_period_ms: int = limits.SWIM_PERIOD_MS
    rotate_after_seconds: int = 5
    rehab_after_seconds: int = 60
    replace_after_seconds: int = 900
    compare_exchange_expiry_seconds: int = 60
    parent_process_id: int | None = None


# ---------------------------------------------------------------- kinds of values


class _Refused(Exception):
    """What is allowed, in words; the caller adds key, value and source."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How the text of a value becomes the value; `allowed` completes the sentence "allowed is ..."."""

    allowed: str
    parse: Callable[[str], Any]


def _switch(text: str) -> bool:
    lowered = text.lower()
    if lowered in ("true", "1", "yes", "on"):
        return True
    if lowered in ("false", "0", "no", "off"):
        return False
    raise _Refused


def _integer(low: int, high: int) -> Kind:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise _Refused from None
        if not low <= value <= high:
            raise _Refused
        return value

    return Kind(f"a whole number from {low} to {high}", parse)


def _one_of(*choices: str) -> Kind:
    def parse(text: str) -> str:
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise _Refused

    return Kind("one of " + ", ".join(choices), parse)


def _address(scheme: str) -> Kind:
    """`scheme://host:port`, or `host:port`, which is read as that; only a port may be missing (8080, or a free one)."""

    def parse(text: str) -> str:
        full = text if "://" in text else f"{scheme}://{text}"
        try:
            parts = urlsplit(full)
            port = parts.port
        except ValueError:
            raise _Refused from None
        if parts.scheme != scheme or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.username:
            raise _Refused
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        default_port = 8080 if scheme == "http" else 0
        return f"{scheme}://{host}:{default_port if port is None else port}"

    return Kind(f"{scheme}://HOST:PORT or HOST:PORT", parse)


def _text(text: str) -> str:
    if not text or len(text) > 256 or not text.isprintable():
        raise _Refused
    return text


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise _Refused
    return Path(text).expanduser()


SWITCH = Kind("true or false", _switch)
TEXT = Kind("1 to 256 printable characters", _text)
FOLDER = Kind("a path", _path)


@dataclass(frozen=True, slots=True)
class Option:
    """One row: `name` is the chief spelling, `aliases` the others; both without leading dashes."""

    name: str
    field: str  # of Settings
    kind: Kind
    aliases: tuple[str, ...]
    sentence: str
    unit: str = ""

    @property
    def default(self) -> Any:
        return getattr(Settings(), self.field)

    def spellings(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


OPTIONS: tuple[Option, ...] = (
    Option(
        "ServerUrl",
        "server_url",
        _address("http"),
        ("url", "http-addr"),
        "Where the server listens for clients, Studio, health and metrics; port 0: a free one.",
    ),
    Option(
        "ServerUrl.Tcp",
        "tcp_url",
        _address("tcp"),
        ("tcp-url",),
        "Where subscriptions and streams between machines arrive; without it a free port on the host of ServerUrl.",
    ),
    Option(
        "PublicServerUrl",
        "public_url",
        _address("http"),
        ("public-url",),
        "The address that clients are told, when it is not the one that the server listens on.",
    ),
    Option(
        "RpcAddress",
        "rpc_addr",
        _address("tcp"),
        ("rpc-addr",),
        "Where the key-value service would listen. This version does not serve it; the setting is noted.",
    ),
    Option("DataDir", "data_dir", FOLDER, ("data-dir",), "Folder that holds everything; made when it is not there."),
    Option(
        "RunInMemory",
        "run_in_memory",
        SWITCH,
        ("run-in-memory",),
        "Keep everything in memory: nothing is read from or written to DataDir.",
    ),
    Option(
        "NodeId",
        "node_id",
        TEXT,
        ("node-id",),
        "A name for this node in health, metrics and log lines. Its tag in change vectors is the cluster's to give.",
    ),
    Option("Sample", "sample", SWITCH, (), "Make and fill a database called Sample when there is none."),
    Option(
        "Logs.Format",
        "log_format",
        _one_of("text", "json"),
        ("log-format",),
        "Form of the log lines on standard error: short text, or one JSON object per line.",
    ),
    Option(
        "Logs.MinLevel",
        "log_level",
        _one_of("trace", "debug", "info", "warn", "error"),
        ("log-level",),
        "The lowest level that is written.",
    ),
    Option(
        "Logs.Path",
        "log_directory",
        FOLDER,
        ("log-path",),
        "Folder for log files of JSON lines, in addition to standard error; they are rotated.",
    ),
    Option(
        "ShutdownGrace",
        "shutdown_grace_seconds",
        _integer(0, 3_600),
        ("shutdown-grace",),
        "How long requests under way may take to finish after SIGTERM or SIGINT.",
        "seconds",
    ),
    Option(
        "Security.UnsecuredAccessAllowed",
        "unsecured_access",
        _one_of("Local", "PrivateNetwork", "PublicNetwork"),
        ("unsecured-access-allowed",),
        "Who may be served without TLS: addresses beyond this one's own need PrivateNetwork or PublicNetwork.",
    ),
    Option(
        "AllowUnsafeFilesystem",
        "allow_unsafe_filesystem",
        TEXT,
        ("allow-unsafe-filesystem",),
        "Name of one file system type to use although it may lose synced data, such as fuse.",
    ),
    Option(
        "Storage.FreeSpaceWarnPercent",
        "disk_free_warn_percent",
        _integer(0, 100),
        ("disk-free-warn-percent",),
        "Free share of the data directory's disk below which health is degraded.",
        "percent",
    ),
    Option(
        "Storage.FreeSpaceRefusePercent",
        "disk_free_refuse_percent",
        _integer(0, 100),
        ("disk-free-refuse-percent",),
        "Free share below which documents are refused; reads and deletes go on.",
        "percent",
    ),
    Option(
        "Storage.FreeSpaceRefuseInMb",
        "disk_free_refuse_megabytes",
        _integer(0, 2**31 - 1),
        ("disk-free-refuse-mb",),
        "Free space below which documents are refused, if that is more than the share.",
        "megabytes",
    ),
    Option(
        "Storage.ScrubMegabytesPerSecond",
        "scrub_megabytes_per_second",
        _integer(0, 10_000),
        ("scrub-megabytes-per-second",),
        "How fast pages are read again in the background, once a week, to find damage; 0: never.",
        "MB/s",
    ),
    Option(
        "Features.Availability",
        "features_availability",
        _one_of("Stable", "Experimental"),
        ("features",),
        "Experimental opens the admin console to test drivers, on a server that listens on a loopback address.",
    ),
    Option(
        "Cluster.ElectionTimeoutInMs",
        "election_timeout_ms",
        _integer(100, 60_000),
        ("election-timeout-ms",),
        "Without a word from the leader for so long up to twice that, a node stands for election; a leader speaks "
        "three times as often. Several times the delay between the nodes: 600 near by, 3000 between regions.",
        "milliseconds",
    ),
    Option(
        "Cluster.ProbePeriodInMs",
        "probe_period_ms",
        _integer(50, 60_000),
        ("probe-period-ms",),
        "How often each node probes another one, so that it is known which nodes can be reached by anybody. One that "
        "does not answer anybody is suspected after this time, and failed some times this time later.",
        "milliseconds",
    ),
    Option(
        "Cluster.TimeBeforeRotatingPreferredNodeInSec",
        "rotate_after_seconds",
        _integer(2, 100_000),
        ("rotate-after",),
        "After how long a silence of its preferred node a database's other members come before it.",
        "seconds",
    ),
    Option(
        "Cluster.TimeBeforeMovingToRehabInSec",
        "rehab_after_seconds",
        _integer(2, 1_000_000),
        ("rehab-after",),
        "After how long a silence of its node a member of a database is one no more, until it has caught up again.",
        "seconds",
    ),
    Option(
        "Cluster.TimeBeforeAddingReplicaInSec",
        "replace_after_seconds",
        _integer(2, 10_000_000),
        ("replace-after",),
        "After how long a silence another node takes its place, for databases with DynamicNodesDistribution.",
        "seconds",
    ),
    Option(
        "Cluster.CompareExchangeExpiredDeleteFrequencyInSec",
        "compare_exchange_expiry_seconds",
        _integer(1, 1_000_000),
        ("compare-exchange-expiry",),
        "How often compare-exchange values are removed that have expired.",
        "seconds",
    ),
    Option(
        "Testing.ParentProcessId",
        "parent_process_id",
        _integer(1, 2**31 - 1),
        ("Embedded.ParentProcessId",),
        "Stop when the process with this number has ended.",
    ),
)

# What names the settings file, in any place where options are given.
FILE_NAMES = ("settings", "config", "config-path", "c")
SEARCHED_FILES = (
    Path("pynori.toml"),
    Path("settings.json"),
    Path("/etc/pynori/pynori.toml"),
    Path("/etc/pynori/settings.json"),
)

# Sections of RavenDB's settings. What is unknown below them is noted and passed over, for drop-in use.
RAVENDB_SECTIONS = frozenset(
    """
    ai backup cluster core databases embedded etl expiration export features highlighting http indexing integrations
    license logs memory migration monitoring notifications patching performancehints query queue queuesink replication
    security server setup sharding storage studio subscriptions testing tcp timeseries tombstones traffic trafficwatch
    transactionmerger updates
    """.split()  # noqa: SIM905
)
# Names and prefixes that ask for TLS and access by certificate, which this version does not have.
_REFUSED = ("security.certificate", "security.auth", "security.wellknown", "security.masterkey", "cert")


def _canonical(name: str) -> str:
    """One spelling for comparing: lower case, dots and dashes as underscores."""
    return name.lower().replace("-", "_").replace(".", "_")


_BY_SPELLING: dict[str, Option] = {
    _canonical(spelling): option for option in OPTIONS for spelling in option.spellings()
}
_FILE_KEYS = frozenset(_canonical(name) for name in FILE_NAMES)


# ---------------------------------------------------------------- putting the sources together


@dataclass(slots=True)
class Loaded:
    """Effective settings, where each came from, and what to tell the user about settings that were passed over."""

    settings: Settings
    origins: dict[str, str]  # by Settings field; "default" when nobody said anything
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Given:
    key: str
    value: str
    source: str
    lenient: bool = False  # what is unknown is noted, whatever it is


def load(arguments: Sequence[str], environment: Mapping[str, str] | None = None, search: bool = True) -> Loaded:
    """Settings from the command line, the environment and a file. Raises: BadSetting.

    search: look for a file in the usual places when none is named.
    """
    environment = os.environ if environment is None else environment
    command_line = list(_from_command_line(arguments))
    variables = list(_from_environment(environment))
    named = [given for given in (*variables, *command_line) if _canonical(given.key) in _FILE_KEYS]
    file: Path | None = Path(named[-1].value) if named else None
    if file is None and search:
        file = next((path for path in SEARCHED_FILES if path.is_file()), None)
    sources = [
        list(_from_file(file)) if file is not None else [],
        list(_from_settings_variable(environment)),
        variables,
        command_line,
    ]
    values: dict[str, Any] = {}
    origins = {option.field: "default" for option in OPTIONS}
    notes: list[str] = []
    for source in sources:
        for given in source:
            if _canonical(given.key) in _FILE_KEYS:
                continue
            option = _option_of(given, notes)
            if option is not None:
                values[option.field] = _parse(option, given)
                origins[option.field] = given.source
    settings = Settings(**values)
    _check(settings, origins)
    return Loaded(settings, origins, notes)


def _parse(option: Option, given: _Given) -> Any:
    try:
        return option.kind.parse(given.value)
    except _Refused:
        raise BadSetting(
            f"{option.name}: '{given.value}' (from {given.source}) is not allowed; allowed is {option.kind.allowed}"
        ) from None


def _option_of(given: _Given, notes: list[str]) -> Option | None:
    """The option that a key names; None for one that is passed over with a note. Raises: BadSetting."""
    key = _canonical(given.key)
    option = _BY_SPELLING.get(key)
    if option is not None:
        return option
    lowered = given.key.lower()
    if key.startswith(tuple(_canonical(name) for name in _REFUSED)):
        raise BadSetting(
            f"{given.key}: '{given.value}' (from {given.source}) asks for TLS, which this version does not serve; "
            "allowed is an unsecured server, on loopback or behind Security.UnsecuredAccessAllowed"
        )
    if given.lenient or ("." in lowered and lowered.split(".")[0] in RAVENDB_SECTIONS):
        notes.append(f"{given.key} (from {given.source}) has no meaning here and is passed over")
        return None
    raise BadSetting(
        f"{given.key} (from {given.source}) is not a setting{_did_you_mean(given.key)}; see: pynori options"
    )


def _did_you_mean(key: str) -> str:
    near = difflib.get_close_matches(_canonical(key), _BY_SPELLING, 1, 0.75)
    return f"; did you mean {_BY_SPELLING[near[0]].name}" if near else ""


def _check(settings: Settings, origins: Mapping[str, str]) -> None:
    """What must hold between several settings."""
    for name, origin, url in (
        ("ServerUrl", origins["server_url"], settings.server_url),
        ("ServerUrl.Tcp", origins["tcp_url"], settings.tcp_url),
    ):
        if url is None:
            continue
        host = urlsplit(url).hostname or ""
        if not is_loopback(host) and settings.unsecured_access == "Local":
            raise BadSetting(
                f"{name}: '{url}' (from {origin}) would serve other machines without TLS; allowed is a loopback "
                "address, or Security.UnsecuredAccessAllowed=PrivateNetwork"
            )


def is_loopback(host: str) -> bool:
    """Whether a host name or address reaches this machine only."""
    return host == "localhost" or host == "::1" or (host.startswith("127.") and host.replace(".", "").isdigit())


# ---------------------------------------------------------------- the sources


def _from_command_line(arguments: Sequence[str]) -> Iterator[_Given]:
    """`--key=value`, `--key value`, or `--key` alone for a switch."""
    position = 0
    while position < len(arguments):
        word = arguments[position]
        position += 1
        if not word.startswith("-") or len(word) < 2:
            raise BadSetting(
                f"'{word}' (from the command line) is not a setting; allowed is --NAME=VALUE; see: pynori options"
            )
        key, equals, value = word.lstrip("-").partition("=")
        if not equals:
            option = _BY_SPELLING.get(_canonical(key))
            follows = arguments[position] if position < len(arguments) else "--"
            if option is not None and option.kind is SWITCH and follows.lower() not in ("true", "false"):
                value = "true"
            elif follows.startswith("--"):
                if option is None and _canonical(key) not in _FILE_KEYS:
                    value = ""
                else:
                    allowed = option.kind.allowed if option is not None else "the path of a file"
                    raise BadSetting(f"{word} (from the command line) has no value; allowed is {allowed}")
            else:
                value = follows
                position += 1
        yield _Given(key, value, "the command line")


def _from_environment(environment: Mapping[str, str]) -> Iterator[_Given]:
    ravendb_first = sorted(environment.items(), key=lambda item: not item[0].upper().startswith("RAVEN_"))
    for variable, value in ravendb_first:
        prefix, _, rest = variable.partition("_")
        source = f"the environment variable {variable}"
        if prefix.upper() == "RAVEN" and rest:
            yield _Given(rest.replace("_", "."), value, source, lenient=True)
        elif prefix == "PYNORI" and rest:
            if rest == "SETTINGS" and value.lstrip().startswith("{"):
                continue  # the settings themselves, not the name of a file
            key = _canonical(rest)
            # Other PYNORI_ variables belong to builds, tests and tools; one that is nearly a setting is a mistake.
            if key in _FILE_KEYS or key in _BY_SPELLING or _did_you_mean(rest):
                yield _Given(rest, value, source)


def _from_settings_variable(environment: Mapping[str, str]) -> Iterator[_Given]:
    text = environment.get("PYNORI_SETTINGS", "")
    if text.lstrip().startswith("{"):
        source = "the environment variable PYNORI_SETTINGS"
        try:
            content = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise BadSetting(
                f"PYNORI_SETTINGS: not JSON ({error}); allowed is an object of settings, or a path"
            ) from None
        yield from _flattened(content, source, "")


def _from_file(path: Path) -> Iterator[_Given]:
    source = f"the file {path}"
    try:
        content = path.read_bytes()
        tree = tomllib.loads(content.decode("utf-8")) if path.suffix == ".toml" else msgspec.json.decode(content)
    except OSError as error:
        raise BadSetting(
            f"settings: '{path}' cannot be read: {error.strerror}; allowed is the path of a file"
        ) from None
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(
            f"settings: '{path}' cannot be understood: {error}; allowed is JSON, or TOML in *.toml"
        ) from None
    if not isinstance(tree, dict):
        raise BadSetting(f"settings: '{path}' holds no object; allowed is an object of settings")
    yield from _flattened(tree, source, "")


def _flattened(tree: Mapping[str, Any], source: str, prefix: str) -> Iterator[_Given]:
    """Nested objects become keys with dots; the order of the file is kept."""
    for name, value in tree.items():
        key = prefix + name
        if isinstance(value, dict):
            yield from _flattened(value, source, key + ".")
        elif isinstance(value, bool):
            yield _Given(key, "true" if value else "false", source)
        elif value is not None:
            yield _Given(key, str(value), source)
