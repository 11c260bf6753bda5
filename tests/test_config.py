"""Settings: every source, their order, and one clear line for whatever is wrong."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from pynori.config import OPTIONS, Settings, load
from pynori.errors import BadSetting


def settings(*arguments: str, env: dict[str, str] | None = None) -> Settings:
    return load(arguments, env or {}, search=False).settings


def test_table_and_settings_agree() -> None:
    """Each field of Settings has one row, each default passes its own check, no spelling is used twice."""
    assert [option.field for option in OPTIONS] == [field.name for field in fields(Settings)]
    spellings = [spelling.lower() for option in OPTIONS for spelling in option.spellings()]
    assert len(set(spellings)) == len(spellings)
    for option in OPTIONS:
        if option.default is not None:
            assert option.kind.parse(str(option.default)) == option.default


SOURCES = {
    "file": ("http://127.0.0.1:1", "the file"),
    "PYNORI_SETTINGS": ("http://127.0.0.1:2", "PYNORI_SETTINGS"),
    "RAVEN": ("http://127.0.0.1:3", "RAVEN_ServerUrl"),
    "PYNORI": ("http://127.0.0.1:4", "PYNORI_URL"),
    "command line": ("http://127.0.0.1:5", "the command line"),
}


@pytest.mark.parametrize("strongest", list(SOURCES))
def test_precedence(strongest: str, tmp_path: Path) -> None:
    """Command line > PYNORI_ > RAVEN_ > PYNORI_SETTINGS > file; the origin says which one it was."""
    names = list(SOURCES)[: list(SOURCES).index(strongest) + 1]
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"ServerUrl": SOURCES["file"][0]}))
    arguments = ["--settings", str(file)]
    env = {}
    if "PYNORI_SETTINGS" in names:
        env["PYNORI_SETTINGS"] = json.dumps({"ServerUrl": SOURCES["PYNORI_SETTINGS"][0]})
    if "RAVEN" in names:
        env["RAVEN_ServerUrl"] = SOURCES["RAVEN"][0]
    if "PYNORI" in names:
        env["PYNORI_URL"] = SOURCES["PYNORI"][0]
    if "command line" in names:
        arguments += ["--url", SOURCES["command line"][0]]
    loaded = load(arguments, env, search=False)
    value, origin = SOURCES[strongest]
    assert loaded.settings.server_url == value
    assert origin in loaded.origins["server_url"]
    assert loaded.origins["data_dir"] == "default"


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--ServerUrl=http://127.0.0.1:0"], "server_url", "http://127.0.0.1:0"),
        (["--serverurl", "127.0.0.1:9"], "server_url", "http://127.0.0.1:9"),
        (["--http-addr", "localhost"], "server_url", "http://localhost:8080"),
        (["--url=http://[::1]:7/"], "server_url", "http://[::1]:7"),
        (["--ServerUrl.Tcp=tcp://127.0.0.1:38881"], "tcp_url", "tcp://127.0.0.1:38881"),
        (["--tcp-url", "127.0.0.1"], "tcp_url", "tcp://127.0.0.1:0"),
        (["--RunInMemory=true"], "run_in_memory", True),
        (["--run-in-memory"], "run_in_memory", True),
        (["--sample", "false"], "sample", False),
        (["--sample", "--data-dir=x"], "data_dir", Path("x")),
        (["--node-id", "node0"], "node_id", "node0"),
        (["--rpc-addr", "127.0.0.1:6000"], "rpc_addr", "tcp://127.0.0.1:6000"),
        (["--log-format", "JSON"], "log_format", "json"),
        (["--shutdown-grace=0"], "shutdown_grace_seconds", 0),
        (["--Embedded.ParentProcessId=12"], "parent_process_id", 12),
        (["--url", "127.0.0.1:1", "--url", "127.0.0.1:2"], "server_url", "http://127.0.0.1:2"),
        (
            ["--ServerUrl=http://0.0.0.0:80", "--Security.UnsecuredAccessAllowed=publicnetwork"],
            "server_url",
            "http://0.0.0.0:80",
        ),
    ],
)
def test_spellings_of_the_command_line(arguments: list[str], field: str, value: object) -> None:
    """All parents' spellings mean the same, in any case; the last one of several counts."""
    assert getattr(settings(*arguments), field) == value


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ServerUrl=nonsense:x"], ["ServerUrl", "nonsense:x", "the command line", "HOST:PORT"]),
        (["--url=http://127.0.0.1:70000"], ["ServerUrl", "70000"]),
        (["--url=https://127.0.0.1:1"], ["ServerUrl", "https", "http://HOST:PORT"]),
        (["--url=http://127.0.0.1:1/path"], ["ServerUrl", "/path"]),
        (["--url=http://0.0.0.0:1"], ["ServerUrl", "without TLS", "Security.UnsecuredAccessAllowed"]),
        (["--url=http://localhost.example.com:1"], ["ServerUrl", "without TLS"]),
        (["--tcp-url=tcp://0.0.0.0:1"], ["ServerUrl.Tcp", "without TLS"]),
        (["--RunInMemory=maybe"], ["RunInMemory", "maybe", "true or false"]),
        (["--shutdown-grace=-1"], ["ShutdownGrace", "-1", "from 0 to 3600"]),
        (["--log-format=xml"], ["Logs.Format", "xml", "text, json"]),
        (["--node-id", "a\nb"], ["NodeId", "printable"]),
        (["--data-dir"], ["--data-dir", "no value"]),
        (["--data-dir", "--sample"], ["--data-dir", "no value"]),
        (["--data-dri=x"], ["data-dri", "did you mean DataDir"]),
        (["--ServerUrl.Tpc=x"], ["ServerUrl.Tpc", "did you mean ServerUrl.Tcp"]),
        (["stray"], ["stray", "--NAME=VALUE"]),
        (["--cert", "x.pem"], ["cert", "TLS"]),
        (["--Security.Certificate.Path=x"], ["Security.Certificate.Path", "TLS"]),
        (["--settings", "/nowhere/at.all"], ["/nowhere/at.all", "No such file"]),
    ],
)
def test_wrong_settings_are_one_line(arguments: list[str], words: list[str]) -> None:
    """The error names key, value, source and what is allowed, in one line."""
    with pytest.raises(BadSetting) as refused:
        settings(*arguments)
    message = str(refused.value)
    assert all(word in message for word in words), message
    assert "\n" not in message.replace("a\nb", "")


def test_ravendb_settings_without_meaning_are_noted() -> None:
    """Settings of RavenDB's sections pass with a note each, from the command line and from a file; licences do too."""
    loaded = load(
        ["--Etl.MaxBatchSizeInMb=64", "--Cluster.OperationTimeoutInSec=30", "--License.Eula.Accepted=true"],
        {"RAVEN_Setup_Mode": "None", "RAVEN_ARGS": "x", "PYNORI_SETTINGS": '{"Setup.Mode": "None"}'},
        search=False,
    )
    assert loaded.settings == Settings()
    assert len(loaded.notes) == 6 and all("passed over" in note for note in loaded.notes)


def test_unknown_variables() -> None:
    """A PYNORI_ variable that is nearly a setting stops the start; one of builds and tools does not."""
    assert settings(env={"PYNORI_DEBUG": "1", "PYNORI_CMD": "pynori serve", "OTHER": "x"}) == Settings()
    with pytest.raises(BadSetting, match=r"PYNORI_DATADIRR.*did you mean DataDir"):
        settings(env={"PYNORI_DATADIRR": "x"})


def test_files_nested_or_flat_json_or_toml(tmp_path: Path) -> None:
    """RavenDB's settings.json as it is, nested objects, and TOML all give the same settings; nulls are absent."""
    flat = {"ServerUrl": "http://127.0.0.1:1", "Setup.Mode": "None", "RunInMemory": True, "NodeId": None}
    nested = {"ServerUrl": "http://127.0.0.1:1", "Setup": {"Mode": "None"}, "run-in-memory": True}
    files = []
    for number, content in enumerate((flat, nested)):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text(json.dumps(content))
    files.append(tmp_path / "pynori.toml")
    files[-1].write_text('ServerUrl = "http://127.0.0.1:1"\nRunInMemory = true\n[Setup]\nMode = "None"\n')
    for file in files:
        found = settings("--config-path", str(file))
        assert (found.server_url, found.run_in_memory) == ("http://127.0.0.1:1", True), file
        assert settings(env={"PYNORI_SETTINGS": str(file)}) == found


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", "{", "cannot be understood"),
        ("a.json", "[1]", "holds no object"),
        ("a.json", '{"ServerUrll": "x"}', "did you mean ServerUrl"),
        ("a.json", '{"RunInMemory": "perhaps"}', r"RunInMemory: 'perhaps' \(from the file"),
        ("a.toml", "x =", "cannot be understood"),
        ("a.json", b"\xff\xfe", "cannot be understood"),
    ],
)
def test_wrong_files(name: str, content: str | bytes, words: str, tmp_path: Path) -> None:
    """A file that cannot be understood, or holds what is unknown, is named with the reason."""
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadSetting, match=words):
        settings("--settings", str(file))
    with pytest.raises(BadSetting, match="PYNORI_SETTINGS: not JSON"):
        settings(env={"PYNORI_SETTINGS": "{"})
