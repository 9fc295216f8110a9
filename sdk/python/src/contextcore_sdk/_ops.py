"""Posts lines to `/v1/ops` of a service (`endpoint="https+ops://…"`), for machines that share no disk with it.

The spool stays the truth: a thread reads it and posts what is new, a file whose writer is dead is removed when the service has
taken all of it, and what is posted twice counts once there. A process that ends before everything is posted leaves it to the
next one, or to `contextcore drain --to`.
"""

import os
import re
import threading
import time
from json import loads
from typing import Any

from . import _log
from ._destination import Destination
from ._spool import Spool, directory_name

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

# The service takes 1 MiB; a header and the line with the time go with the lines.
_BODY_BYTES = 900 * 1024
_LOOK_S = 0.25
_LONGEST_WAIT_S = 30.0
_TIMEOUT_S = 10.0
_LATER = (408, 425, 429)
_SEQ = re.compile(rb'"seq":(\d+)')


class _Later(Exception):
    """The same may be taken later."""


class _Refused(Exception):
    """The same will not be taken, whenever it is sent."""


class Poster:
    """Posts the lines of one spool. Made anew in a child after a fork."""

    def __init__(self, spool: Spool, destination: Destination) -> None:
        """Starts the thread."""
        self.pid = os.getpid()
        self._spool = spool
        self._destination = destination
        self._folder = os.path.join(spool.path, "spool", directory_name(spool.project))
        self._offsets: dict[str, int] = {}
        self._taken: dict[str, int] = {}
        self._refused = False
        self._thread = threading.Thread(target=self._run, name="contextcore-ops", daemon=True)
        self._thread.start()

    def flush(self, timeout: float) -> bool:
        """Waits until the service has taken what this process wrote."""
        wanted, deadline = self._spool.positions(), time.monotonic() + timeout
        while not all(self._taken.get(writer, 0) >= seq for writer, seq in wanted.items()):
            if self._refused or time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        self._spool.accepted(wanted)
        return True

    def _run(self) -> None:
        wait = _LOOK_S
        while not self._refused:
            try:
                self._round()
                wait = _LOOK_S
            except (_Later, OSError) as error:
                wait = min(wait * 2, _LONGEST_WAIT_S)
                _log.limited("ops", f"{self._destination.endpoint}: {error}; it stays in the spool")
            except _Refused as error:
                self._refused = True
                _log.once(f"ops {self._destination.endpoint}", f"{self._destination.endpoint}: {error}; nothing more is posted")
            time.sleep(wait)

    def _round(self) -> None:
        """Posts what is new, unless somebody else does."""
        lock = _open(os.path.join(self._spool.path, "engine.lock"), os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for name in sorted(os.listdir(self._folder)):
                if name.endswith(".jsonl") and not name.startswith("."):
                    self._segment(os.path.join(self._folder, name))
        finally:
            _close(lock)

    def _segment(self, path: str) -> None:
        try:
            fd = _open(path, getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            return
        try:
            self._read(path, fd, _is_free(fd))
        finally:
            _close(fd)

    def _read(self, path: str, fd: int, dead: bool) -> None:
        with open(fd, "rb", closefd=False) as file:
            data = file.read()
        end = len(data) if dead else data.rfind(b"\n") + 1
        start = self._offsets.get(path, 0)
        header = data[: data.find(b"\n") + 1]
        if start < end and header:
            self._post(header, data[max(start, len(header)) : end].split(b"\n"))
            self._offsets[path] = end
        if dead:
            # The service has made durable what it has taken.
            os.unlink(path)
            self._offsets.pop(path, None)

    def _post(self, header: bytes, lines: "list[bytes]") -> None:
        batch, size = list[bytes](), 0
        for line in filter(None, lines):
            if batch and size + len(line) > _BODY_BYTES:
                self._send(header, batch)
                batch, size = [], 0
            batch.append(line)
            size += len(line) + 1
        if batch:
            self._send(header, batch)

    def _send(self, header: bytes, lines: "list[bytes]") -> None:
        sent = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        body = b'{"v":1,"sent":"%b"}\n' % sent.encode() + header + b"\n".join(lines) + b"\n"
        status, answer = request(self._destination, body)
        if status == 413 and len(lines) > 1:
            self._send(header, lines[: len(lines) // 2])
            self._send(header, lines[len(lines) // 2 :])
            return
        if status in _LATER or status >= 500:
            raise _Later(f"HTTP {status}")
        if not 200 <= status < 300:
            raise _Refused(f"HTTP {status}")
        for rejected in answer.get("rejected") or ():
            _log.once(f"rejected {rejected}", f"{self._destination.endpoint} rejected {rejected}")
        numbers = [int(found[1]) for found in map(_SEQ.search, lines) if found]
        writer = str(loads(header)["writer"])
        self._taken[writer] = max([self._taken.get(writer, 0), *numbers])


# Descriptors of the threads. A child has them too, and with them their locks, so it closes them first of all.
_fds: set[int] = set()
_fork_lock = threading.Lock()


def _open(path: str, flags: int) -> int:
    with _fork_lock:
        fd = os.open(path, os.O_RDWR | flags | getattr(os, "O_CLOEXEC", 0), 0o600)
        _fds.add(fd)
    return fd


def _close(fd: int) -> None:
    with _fork_lock:
        _fds.discard(fd)
        os.close(fd)


def _after_fork() -> None:
    _fork_lock.release()
    for fd in list(_fds):
        _close(fd)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_fork_lock.acquire, after_in_parent=_fork_lock.release, after_in_child=_after_fork)


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def address(endpoint: str) -> str:
    """The address to post to; without a path it is `/v1/ops`."""
    url = endpoint.replace("+ops://", "://", 1)
    return url if "/" in url.partition("://")[2] else url + "/v1/ops"


def request(destination: Destination, body: bytes) -> "tuple[int, dict[str, Any]]":
    """One POST: its status and the object in its answer. Redirections are not followed: the token is for this address.

    Raises:
        OSError: there was no answer.
    """
    import ssl
    from urllib import error
    from urllib import request as http

    class Stay(http.HTTPRedirectHandler):
        def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
            return None

    headers = {**destination.headers, "content-type": "application/x-ndjson"}
    post = http.Request(address(destination.endpoint), body, headers, method="POST")
    roots = os.environ.get("OTEL_EXPORTER_OTLP_CERTIFICATE") or None
    opener = http.build_opener(Stay, http.HTTPSHandler(context=ssl.create_default_context(cafile=roots)))
    try:
        with opener.open(post, timeout=_TIMEOUT_S) as answer:
            found = loads(answer.read() or b"{}")
            return answer.status, found if isinstance(found, dict) else {}
    except error.HTTPError as refused:
        with refused:
            return refused.code, {}
    except ValueError:
        return 200, {}


_posters: dict[int, Poster] = {}


def poster(spool: Spool) -> "Poster | None":
    """The poster of a spool in this process; None if it does not go to a service."""
    destination = spool.destination
    if destination is None or destination.protocol != "ops" or not fcntl:
        return None
    found = _posters.get(id(spool))
    if found is None or found.pid != os.getpid():
        found = _posters[id(spool)] = Poster(spool, destination)
    return found
