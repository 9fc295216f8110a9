"""Every test has a state directory of its own and an environment without anything of the machine's."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
SOURCE = HERE.parent / "src"


@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("CONTEXTCORE_", "OTEL_")) or name in ("XDG_STATE_HOME", "CI"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    import contextcore_sdk._client
    from contextcore_sdk import _log, _spool

    _log._seen.clear()
    _log._last.clear()
    monkeypatch.setattr(_spool, "_spools", {})
    assert contextcore_sdk._client.recorder is None


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def python(state, tmp_path):
    """Runs a program with the SDK, and returns what became of it."""

    def run(program, *, interpreter=(sys.executable,), check=True, timeout=60, **environ):
        known = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        known.update({"PYTHONPATH": str(SOURCE), "CONTEXTCORE_STATE_DIR": str(state), **environ})
        done = subprocess.run(
            [*interpreter, "-c", textwrap.dedent(program)], env=known, capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done

    return run
