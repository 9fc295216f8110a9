"""`contextcore_bin` finds the binary that its own wheel installed, and no command of the same name."""

import sys
import sysconfig
from pathlib import Path

import pytest

from contextcore_sdk import _helper

PACKAGE = Path(__file__).parents[2] / "python-bin" / "src"


@pytest.fixture
def package(monkeypatch):
    monkeypatch.syspath_prepend(str(PACKAGE))
    monkeypatch.delitem(sys.modules, "contextcore_bin", raising=False)
    import contextcore_bin

    yield contextcore_bin
    sys.modules.pop("contextcore_bin", None)


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(tmp_path))
    return tmp_path / "contextcore"


def write(path, content):
    path.write_bytes(content)
    path.chmod(0o755)


def test_the_binary_of_the_environment(package, scripts):
    write(scripts, b"\x7fELF...")
    assert package.path() == str(scripts)
    assert _helper.binary() == str(scripts)


def test_a_script_of_another_project_is_not_it(package, scripts, caplog):
    write(scripts, b"#!/usr/bin/python\n")
    with pytest.raises(package.BinaryNotFound):
        package.path()
    assert _helper.binary() is None
    assert "no usable binary" in caplog.text


def test_a_file_that_cannot_run_is_not_it(package, scripts):
    write(scripts, b"\x7fELF...")
    scripts.chmod(0o644)
    with pytest.raises(package.BinaryNotFound):
        package.path()


def test_an_installation_into_a_directory(package, scripts, tmp_path, monkeypatch):
    target = tmp_path / "target"
    (target / "contextcore_bin").mkdir(parents=True)
    (target / "bin").mkdir()
    monkeypatch.setattr(package, "__file__", str(target / "contextcore_bin" / "__init__.py"))
    write(target / "bin" / "contextcore", b"\x7fELF...")
    assert package.path() == str(target / "bin" / "contextcore")


def test_the_variable_goes_first(package, scripts, monkeypatch):
    write(scripts, b"\x7fELF...")
    monkeypatch.setenv("CONTEXTCORE_BIN", "/opt/contextcore")
    assert _helper.binary() == "/opt/contextcore"


def test_without_the_package_there_is_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "contextcore_bin", None)
    assert _helper.binary() is None
