"""The binary as users get it: the wheel that maturin builds, beside the SDK's wheel in a fresh environment.

It builds the binary without optimisation, which takes minutes, so it runs only where `CONTEXTCORE_BIN_WHEEL` is set (`sdk/check.sh` does).
"""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import spool
from test_real_helper import Backend
from test_wheel import TRACKER, wheel  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[3]
pytestmark = [
    pytest.mark.skipif(not os.environ.get("CONTEXTCORE_BIN_WHEEL"), reason="CONTEXTCORE_BIN_WHEEL is not set"),
    pytest.mark.xdist_group("real"),
]


def install(place, *wheels):
    """A fresh environment with these wheels, and its Python."""
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", *wheels]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture(scope="module")
def binary_wheel(tmp_path_factory):
    """The wheel of the binary. The features are those of other builds, so that what they built is used again."""
    pytest.importorskip("maturin")
    out = tmp_path_factory.mktemp("bin")
    command = [sys.executable, "-m", "maturin", "build", "--profile", "dev", "--features", "demo,mcp", "--locked", "--out", str(out)]
    environ = {**os.environ, "HOME": os.path.expanduser("~root" if os.geteuid() == 0 else "~")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "sdk" / "python-bin", env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def run(python, program, state, cwd, **more):
    environ = {"PATH": os.environ["PATH"], "HOME": str(cwd), "CONTEXTCORE_STATE_DIR": str(state), **more}
    return subprocess.run([python, "-c", program], capture_output=True, text=True, env=environ, cwd=cwd, timeout=120)


def test_one_wheel_serves_every_version(binary_wheel):
    assert re.fullmatch(r"contextcore_bin-[\d.]+-py3-none-\w+\.whl", binary_wheel.name)


def test_both_wheels_send_what_is_reported(binary_wheel, wheel, state, tmp_path):  # noqa: F811
    python = install(tmp_path / "venv", wheel, binary_wheel)
    with Backend() as backend:
        program = TRACKER.replace("http://tempo:4317", backend.url) + "print(tracker.close(60))\n"
        done = run(python, program, state, tmp_path, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf")
        assert (done.stdout, done.stderr) == ("True\n", "")
        assert backend.count("Implement checkout flow")
        stop = (
            "import glob, socket\n"
            f"with socket.socket(socket.AF_UNIX) as helper:\n    helper.connect(glob.glob('{state}/lanes/*/engine.sock')[0])\n"
            "    helper.sendall(b'{\"v\":1,\"cmd\":\"stop\"}\\n')\n    helper.recv(100)\n"
        )
        assert run(python, stop, state, tmp_path).returncode == 0
        backend.shutdown()


def test_the_sdk_alone_writes_and_says_once_what_is_missing(wheel, state, tmp_path):  # noqa: F811
    python = install(tmp_path / "venv", wheel)
    done = run(python, TRACKER, state, tmp_path)
    assert done.returncode == 0 and len(spool.operations(state)) == 3
    (warning,) = done.stderr.strip().splitlines()
    assert "contextcore-bin is not installed" in warning and f"contextcore drain --state {state}" in warning
