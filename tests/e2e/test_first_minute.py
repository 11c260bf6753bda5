"""The first minute with a server: what README says to type works as it is told there."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DEFAULT_URL = "http://127.0.0.1:8080"


def test_the_lines_of_readme_answer(serve, tmp_path: Path) -> None:
    """Each curl line of README's first look answers 200 with what it names, and the server ends with 0."""
    lines = re.findall(r"^    (curl .*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) == 3
    with serve("--sample", "--data-dir", str(tmp_path / "data")) as server:
        answers = []
        for line in lines:
            words = [word.replace(DEFAULT_URL, server.url) for word in shlex.split(line)]
            assert words[-1].startswith(server.url)
            command = [words[0], "--silent", "--show-error", "--fail", *words[1:]]
            done = subprocess.run(command, capture_output=True, text=True, timeout=20)
            assert done.returncode == 0, f"{line}: {done.stderr}"
            answers.append(done.stdout)
        company = json.loads(answers[0])["Results"][0]
        assert company["Name"] and company["@metadata"]["@collection"] == "Companies"
        assert json.loads(answers[1])["Collections"]["Orders"] > 1_000
        assert 'pynori_documents{database="Sample"}' in answers[2]
        health = server.call("GET", "/health")
        assert (health["status"], health["databases"], health["problems"]) == ("healthy", 1, [])
        assert server.text("/health/quick") == "OK"
        code, talk = server.terminate()
        assert code == 0 and "warn" not in talk and "error" not in talk


def test_a_first_program_in_python(serve, tmp_path: Path) -> None:
    """README's program, word for word but for the address, prints the name of the friend."""
    program = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[0]
    with serve("--sample", "--data-dir", str(tmp_path / "data")) as server:
        file = tmp_path / "first.py"
        file.write_text(program.replace(DEFAULT_URL, server.url), encoding="utf-8")
        done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stdout) == (0, "Ada\n"), done.stderr
