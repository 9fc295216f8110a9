"""The helper, `contextcore drain`: where its binary is, whether it runs, how it is started and asked.

The binary comes with the package ``contextcore_bin``. PATH is never searched: another project owns the command name
``contextcore`` on PyPI.
"""

import os
import socket
import time
from collections.abc import Mapping
from json import dumps, loads
from typing import Any
from urllib.parse import quote

from . import _log
from ._destination import NOWHERE, Destination
from ._spool import Spool
from ._state import on_network

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

_PASSED = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "XDG_STATE_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_PREFIXES = ("OTEL_", "CONTEXTCORE_")
# Variables whose values are paths: the helper works in another directory.
_PATHS = ("CONTEXTCORE_CONFIG", "CONTEXTCORE_STATE_DIR", "CONTEXTCORE_BIN", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
_OTLP_PATHS = ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")
_HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
# How often a process looks whether the helper runs, and how long it waits after it started one that does not stay.
_LOOK_S = 1.0
_BACKOFF_S = 60.0
# How long a helper may need until it holds the lane.
_START_S = 2.0
_SOCKET_PATH_BYTES = 100
_children: list[Any] = []


def binary() -> "str | None":
    """The path of the helper's binary, or None where there is none."""
    named = os.environ.get("CONTEXTCORE_BIN")
    if named:
        return os.path.abspath(named)
    try:
        import contextcore_bin
    except ImportError:
        return None
    try:
        found: str = contextcore_bin.path()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with that package, the program must go on
        _log.once("binary", f"the package contextcore_bin has no usable binary: {error}")
        return None
    return found


def helper_environment(environ: Mapping[str, str], destination: "Destination | None") -> dict[str, str]:
    """What the helper needs of the environment, and nothing else of the program's; files by their whole paths."""
    kept = {
        name: value for name, value in environ.items() if name in _PASSED or name in _PROXIES or name.startswith(_PREFIXES)
    }
    if not os.path.isabs(kept.get("XDG_STATE_HOME", "/")):
        del kept["XDG_STATE_HOME"]
    kept.update({name: os.path.abspath(value) for name, value in kept.items() if value.strip() and _is_path(name, value)})
    # Those of the caller and of the environment together: the helper finds the lane by them.
    if destination is not None and destination.headers:
        kept[_HEADERS] = ",".join(f"{name}={quote(value, safe='')}" for name, value in destination.headers.items())
    return kept


def _is_path(name: str, value: str) -> bool:
    """Whether a variable names one file or directory."""
    if name == "SSL_CERT_DIR" and os.pathsep in value:
        return False
    rest = name.removeprefix("OTEL_EXPORTER_OTLP_")
    of_signal = rest.removeprefix("TRACES_").removeprefix("LOGS_").removeprefix("METRICS_")
    return name in _PATHS or (rest != name and of_signal in _OTLP_PATHS)


def is_running(lane: str) -> bool:
    """Whether something holds the lane: a helper or the service."""
    if not fcntl:
        return True
    try:
        fd = os.open(os.path.join(lane, "engine.lock"), os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    except OSError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def start(state: str, destination: "Destination | None") -> bool:
    """Starts the helper detached, for all lanes. It forks by itself, so nothing is waited for here."""
    program = binary()
    if program is None:
        _log.once(
            "no binary",
            "the package contextcore-bin is not installed, so what is reported stays in the spool; "
            f"`contextcore drain --state {state}` sends it",
        )
        return False
    import subprocess

    _reap()
    try:
        child = subprocess.Popen(
            [program, "drain", "--state", state, "--detach"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd="/", env=helper_environment(os.environ, destination), start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        _log.once("start", f"the helper {program} could not be started: {error}; `contextcore drain` sends what is in the spool")
        return False
    _children.append(child)
    return True


def _reap() -> None:
    """Collects what was started and has ended, so that no zombies stay."""
    _children[:] = [child for child in _children if child.poll() is None]


def forget_children() -> None:
    """At the end of the process: the helper goes on by itself, which is no reason for a ResourceWarning."""
    _reap()
    for child in _children:
        child.returncode = 0


def may_drain(spool: Spool) -> bool:
    """Whether lines of this spool can be sent from this machine."""
    if spool.lane == NOWHERE or spool.state is None or not fcntl:
        return False
    known = spool.memory.get("network")
    if known is None:
        known = spool.memory["network"] = float(on_network(spool.state))
        if known:
            _log.once(
                f"network {spool.state}",
                f"{spool.state} is on a network file system, whose locks are not safe: no helper is started; "
                "set CONTEXTCORE_STATE_DIR to a local directory, or run `contextcore drain` on one machine",
            )
    return not known


def ensure(spool: Spool) -> bool:
    """Starts the helper if nobody drains the lane; looks at most once a second."""
    now = time.monotonic()
    if now < spool.memory.get("look", 0.0):
        return True
    spool.memory["look"] = now + _LOOK_S
    if not may_drain(spool):
        return False
    if is_running(spool.path):
        spool.memory["tries"] = 0
        deliver_headers(spool)
        return True
    tries = spool.memory.get("tries", 0.0)
    spool.memory["tries"] = tries + 1
    spool.memory["started"] = now
    spool.memory["look"] = now + min(_LOOK_S * 2**tries, _BACKOFF_S)
    return start(spool.state or "", spool.destination)


def look_now(spool: Spool) -> None:
    """Makes the next `ensure` look, unless a helper was started so recently that it may not hold the lane yet."""
    if time.monotonic() - spool.memory.get("started", -_START_S) >= _START_S:
        spool.memory["look"] = 0.0


def deliver_headers(spool: Spool) -> bool:
    """Gives the helper the headers that its backend needs, once to each that listens; they are never written to a file.

    Returns:
        Whether the helper that listens now has been given them, or none are needed.
    """
    destination = spool.destination
    if destination is None or not destination.headers:
        return True
    try:
        found = os.lstat(os.path.join(spool.path, "engine.sock"))
        # Each helper makes its socket anew.
        listener = (found.st_ino, found.st_ctime_ns)
        if spool.delivered == listener:
            return True
        with Connection(spool.path, 0.2) as connection:
            connection.ask({"v": 1, "cmd": "headers", "headers": destination.headers})
    except (OSError, ValueError):
        return False
    spool.delivered = listener
    return True


class Connection:
    """The helper's socket: one JSON object a line each way."""

    def __init__(self, lane: str, timeout: float) -> None:
        """Connects.

        Raises:
            OSError: nobody listens.
        """
        path = os.path.join(lane, "engine.sock")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(max(timeout, 0.01))
        directory = -1
        try:
            if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
                directory = os.open(lane, os.O_RDONLY)
                path = f"/proc/self/fd/{directory}/engine.sock"
            self._socket.connect(path)
        except BaseException:
            self._socket.close()
            raise
        finally:
            if directory >= 0:
                os.close(directory)
        self._reader = self._socket.makefile("rb")

    def ask(self, request: Mapping[str, object]) -> "dict[str, Any]":
        """Sends one request and reads its answer.

        Raises:
            OSError: the helper went away or did not answer in time.
            ValueError: the answer is no JSON object.
        """
        self._socket.sendall(dumps(request, separators=(",", ":")).encode() + b"\n")
        answer = self._reader.readline()
        if not answer.endswith(b"\n"):
            raise OSError("the helper closed the connection")
        found = loads(answer)
        if not isinstance(found, dict):
            raise ValueError("the helper's answer is no object")
        return found

    def __enter__(self) -> "Connection":
        """Closes itself at the end of `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the connection."""
        self._reader.close()
        self._socket.close()


def flush(spool: Spool, timeout: float) -> bool:
    """Waits until the backend has accepted what this process wrote, for at most `timeout` seconds."""
    deadline = time.monotonic() + timeout
    wait = 0.01
    look_now(spool)
    while True:
        left = deadline - time.monotonic()
        if not ensure(spool):
            return False
        try:
            if _ask_flush(spool, max(left, 0.0)):
                return True
        except (OSError, ValueError):
            pass
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(wait, left))
        wait = min(wait * 1.5, 0.1)


def _ask_flush(spool: Spool, left: float) -> bool:
    deliver_headers(spool)
    positions = spool.positions()
    request = {"v": 1, "cmd": "flush", "writers": positions, "timeout_ms": int(left * 1000)}
    with Connection(spool.path, left + 1.0) as connection:
        answer = connection.ask(request)
    done = answer.get("ok") is True
    error = None if done else answer.get("error")
    spool.trouble = error if isinstance(error, str) else None
    if done:
        spool.accepted(positions)
    return done
