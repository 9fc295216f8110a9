"""The spool: one file a process, one line a call, one ``write`` a line. docs/SPOOL.md is the format.

A call that returned has written its line, so a killed process loses nothing. What makes this hold:

- *Threads*: one lock for a project of a destination; the line is encoded before it is taken.
- *Re-entry*: a signal handler, finaliser or logging handler can call the tracker while the same thread is inside a call. The
  lock lets the thread in again, and the inner call uses a writer (a file) of its own, so that numbers stay in file order.
- *Fork*: the child starts with no writer. Its first call makes one; the parent's descriptor is closed, never unlocked.
"""

import itertools
import os
import socket
import threading
import time
import weakref
from urllib.parse import quote

from . import _log
from ._destination import NOWHERE, Destination, only_lane, sha
from ._resource import resource
from ._state import Directory, find
from ._version import __version__
from .errors import SpoolUnavailable

try:
    import fcntl
except ImportError:  # Windows: no locks, so nothing drains beside us
    fcntl = None  # type: ignore[assignment]

LINE_BYTES = 65_536
SEGMENT_BYTES = 8 * 1024 * 1024
CAP_BYTES = 1024 * 1024 * 1024
# How long after a failure nothing is tried again: each try costs system calls.
_PAUSE_S = 1.0
_FILE = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL


def directory_name(project: str) -> str:
    """The directory of a project: percent-encoded, or a hash where that would be too long for a file name."""
    name = quote(project.encode("utf-8", "replace"), safe="-._~")
    if name.startswith("."):
        name = "%2E" + name[1:]
    return name if len(name) <= 200 else "%" + sha("project", project)[:32]


class Stamp:
    """Formats milliseconds since 1970; remembers the text of the last second."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        """Nothing is remembered yet."""
        self._second = -1
        self._text = ""

    def format(self, millis: int) -> str:
        """``2026-11-26T20:51:06.123Z``."""
        second, rest = divmod(millis, 1000)
        if second != self._second:
            # Text first: an interrupted call must not pair a second with another's text.
            self._second = -1
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._text}.{rest:03d}Z"


class Writer:
    """One file at a time, held with a lock for life: whoever obtains the lock knows that the writer is dead."""

    __slots__ = ("_clean", "_header", "_number", "fd", "id", "seq", "size", "written")

    def __init__(self, directory: Directory, project: str) -> None:
        """Opens the first segment.

        Raises:
            OSError: it cannot be made.
        """
        from json import dumps

        self.id = os.urandom(16).hex()
        head: dict[str, object] = {"v": 1, "writer": self.id, "project": project, "lang": "python", "sdk": __version__}
        head.update(host=socket.gethostname(), pid=os.getpid())
        given = resource(os.environ)
        if given:
            head["resource"] = given
        text = dumps(head, ensure_ascii=False, separators=(",", ":"))
        self._header = text.encode("utf-8", "replace") + b"\n"
        self._number = 0
        # `next` of a counter is one step of the interpreter: a signal handler can never get the same number.
        self.seq = itertools.count(1)
        self.written = 0
        self._clean = True
        self.size = 0
        self.fd = -1
        self.next_segment(directory)

    def next_segment(self, directory: Directory) -> None:
        """Opens another file with the header as its first line, and leaves the one before.

        Raises:
            OSError: it cannot be made; the writer stays where it was.
        """
        name = f"{self.id}.{self._number + 1}.jsonl"
        temporary = f".{self.id}.{self._number + 1}.tmp" if fcntl else name
        fd = directory.open(temporary, _FILE)
        try:
            if fcntl:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.write(fd, self._header) != len(self._header):
                raise OSError(28, "the disk is full")
            if fcntl:
                directory.rename(temporary, name)
        except BaseException:
            os.close(fd)
            directory.unlink(temporary)
            raise
        before, self.fd = self.fd, fd
        self._number += 1
        self.size = len(self._header)
        self._clean = True
        if before >= 0:
            os.close(before)

    def write(self, line: bytes) -> None:
        """Appends a line.

        Raises:
            OSError: it is not in the file.
        """
        clean, self._clean = self._clean, False
        data = line if clean else b"\n" + line
        try:
            count = os.write(self.fd, data)
        except OSError:
            self._clean = clean
            raise
        if count < len(data):
            count += self._again(line, len(data) - count)
        else:
            self._clean = True
        self.size += count

    def _again(self, line: bytes, missing: int) -> int:
        """The disk was full in the middle of a line. Readers skip the torn one, so the whole line is written once more."""
        if missing == 1:
            # Only the end of the line is missing, and the next write begins with one.
            return 0
        data = b"\n" + line
        count = os.write(self.fd, data)
        self._clean = count == len(data)
        if count < len(data) - 1:
            raise OSError(28, "the disk is full")
        return count

    def unlinked(self) -> bool:
        """Whether somebody removed the file, so that what is written to it would be lost."""
        return bool(fcntl) and os.fstat(self.fd).st_nlink == 0

    def close(self) -> None:
        """Gives the file and its lock up."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class _Held:
    """What a process holds of a spool; a child after a fork starts with a new one."""

    __slots__ = ("checked", "depth", "directory", "last", "lock", "owner", "paused", "pid", "stamp", "writer", "writers")

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.RLock()
        # How many calls are inside, all of one thread: that which has the lock.
        self.depth = 0
        self.owner = 0
        self.writers: dict[int, Writer] = {}
        self.writer: Writer | None = None
        self.directory: Directory | None = None
        self.last = 0
        self.stamp = Stamp()
        self.checked = 0.0
        self.paused = 0.0


class Spool:
    """The lines of one project for one destination."""

    def __init__(self, given: "str | None", destination: "Destination | None", project: str) -> None:
        """Without a destination: the only lane of the project, else the one that goes nowhere."""
        self._given = given
        self.destination = destination
        self.lane = destination.lane if destination else None
        self.project = project
        # Whether some client wants a helper to be started.
        self.drains = False
        self.state: str | None = None
        self.clients: weakref.WeakSet[object] = weakref.WeakSet()
        self._held = _Held()
        # What other modules remember of a spool in this process (the helper's state).
        self.memory: dict[str, float] = {}
        # The socket of the helper that got the headers.
        self.delivered: tuple[int, int] | None = None
        # Why the backend has not accepted everything, as the helper says.
        self.trouble: str | None = None

    @property
    def path(self) -> str:
        """The directory of the lane."""
        return os.path.join(self.state or "", "lanes", self.lane or NOWHERE)

    @property
    def inside(self) -> bool:
        """Whether this thread is in the middle of a call."""
        held = self._held
        return held.depth > 0 and held.owner == threading.get_ident()

    def append(self, rest: bytes) -> None:
        """Writes one operation; ``rest`` is its JSON after ``{"v":1,"seq":…,"t":…,``, with the closing brace.

        Raises:
            SpoolUnavailable: it is not in the spool.
        """
        held = self._held
        if held.pid != os.getpid():  # a fork that Python did not see
            held = self._forked()
        with held.lock:
            depth = held.depth
            held.owner = threading.get_ident()
            held.depth = depth + 1
            try:
                self._write(held, depth, rest)
            except OSError as error:
                held.paused = time.monotonic() + _PAUSE_S
                raise SpoolUnavailable(f"{self.path}: {error.strerror or error}") from error
            finally:
                held.depth = depth

    def _write(self, held: _Held, depth: int, rest: bytes) -> None:
        writer = held.writers.get(depth)
        # The longest `v`, `seq` and `t` are shorter than 80 bytes.
        full = writer is None or writer.fd < 0 or writer.size + len(rest) + 80 > SEGMENT_BYTES
        if writer is None or full or time.monotonic() - held.checked > _PAUSE_S:
            writer = self._ready(held, depth, len(rest) + 80)
        millis = time.time_ns() // 1_000_000
        if millis <= held.last:
            # Across writers equal times are ordered by chance, so a change of the writer takes the next millisecond.
            millis = held.last if held.writer is writer else held.last + 1
        held.writer, held.last = writer, millis
        seq = next(writer.seq)
        writer.write(b'{"v":1,"seq":%d,"t":"%b",%b\n' % (seq, held.stamp.format(millis).encode(), rest))
        writer.written = seq

    def _ready(self, held: _Held, depth: int, need: int) -> Writer:
        """The writer for a call, with room; made if there is none or if its file was removed."""
        writer = held.writers.get(depth)
        held.checked = time.monotonic()
        if writer is not None and (writer.fd < 0 or writer.unlinked()):
            held.writers.pop(depth).close()
            held.directory = None
            writer = None
        if writer is not None and writer.size + need <= SEGMENT_BYTES:
            return writer
        if time.monotonic() < held.paused:
            raise SpoolUnavailable("the spool could not be written a moment ago")
        directory = self._open(held)
        self._make_room()
        if writer is None:
            writer = held.writers[depth] = Writer(directory, self.project)
        else:
            writer.next_segment(directory)
        return writer

    def _open(self, held: _Held) -> Directory:
        if held.directory is None:
            self.state = find(self._given, os.environ)
            if self.lane is None:
                self.lane = only_lane(self.state, directory_name(self.project))
            durable = self.destination is not None
            lane = Directory(self.state).enter("lanes", durable).enter(self.lane, durable)
            self._describe(lane)
            held.directory = lane.enter("spool").enter(directory_name(self.project))
            lane.close()
        return held.directory

    def _describe(self, lane: Directory) -> None:
        """Writes ``lane.json`` where it is missing or cannot be read: where the lines go, without secrets.

        The file is durable before it gets its name: a helper that met an empty one would leave the lane as it is.
        """
        if self.destination is None or _described(os.path.join(lane.path, "lane.json")):
            return
        from json import dumps

        data = dumps(self.destination.about(), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        temporary = f".lane.json.{os.getpid()}.{os.urandom(4).hex()}.tmp"
        fd = lane.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            try:
                if os.write(fd, data) != len(data):
                    raise OSError(28, "the disk is full")
                os.fsync(fd)
            finally:
                os.close(fd)
            lane.rename(temporary, "lane.json")
        except BaseException:
            lane.unlink(temporary)
            raise
        lane.sync()

    def _make_room(self) -> None:
        """Keeps the lane under its limit: what was taken goes first, then new calls are refused.

        Raises:
            SpoolUnavailable: the lane is full of lines that nobody has taken.
        """
        total, done = 0, list[tuple[float, int, str]]()
        for folder, _, names in os.walk(os.path.join(self.path, "spool")):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    found = os.lstat(path)
                except OSError:
                    continue
                total += found.st_size
                if name.endswith(".done"):
                    done.append((found.st_mtime, found.st_size, path))
        for _, size, path in sorted(done):
            if total <= CAP_BYTES:
                break
            try:
                os.unlink(path)
            except OSError:
                continue
            total -= size
        if total > CAP_BYTES:
            raise OSError(28, f"the spool holds {total >> 20} MiB that nobody has taken; is `contextcore drain` running?")

    def positions(self) -> dict[str, int]:
        """The last number of each writer of this process that wrote something."""
        held = self._held
        return {writer.id: writer.written for writer in list(held.writers.values()) if writer.written}

    def waiting(self) -> int:
        """How many operations of this process the backend has not been known to accept."""
        return sum(self.positions().values()) - int(self.memory.get("accepted", 0))

    def accepted(self, positions: dict[str, int]) -> None:
        """The backend has accepted everything up to these numbers."""
        self.memory["accepted"] = sum(positions.values())

    def sync(self) -> bool:
        """Makes what was written durable. False if that failed."""
        try:
            for writer in list(self._held.writers.values()):
                if writer.fd >= 0:
                    os.fsync(writer.fd)
            if self._held.directory is not None:
                self._held.directory.sync()
        except OSError as error:
            _log.limited("sync", f"the spool {self.path} could not be synchronised: {error}")
            return False
        return True

    def release(self, client: object) -> None:
        """A client is closed; the files are closed with the last one, so that the helper need not wait for the process."""
        self.clients.discard(client)
        held = self._held
        if len(self.clients) or held.pid != os.getpid() or self.inside:
            return
        with held.lock:
            for writer in held.writers.values():
                writer.close()
            if held.directory is not None:
                held.directory.close()
                held.directory = None

    def _forked(self) -> _Held:
        """In a child: gives up the parent's files without touching its locks."""
        old, self._held = self._held, _Held()
        self.memory = {}
        self.delivered = None
        mid_call = old.depth > 0 and old.owner == threading.get_ident()
        for writer in old.writers.values():
            if writer.fd >= 0:
                _abandon(writer.fd, mid_call)
                writer.fd = writer.fd if mid_call else -1
        if old.directory is not None:
            old.directory.close()
        return self._held


def _described(path: str) -> bool:
    """Whether a ``lane.json`` says where its lane goes."""
    from json import loads

    try:
        with open(path, "rb") as file:
            about = loads(file.read())
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and {"v", "endpoint", "protocol", "credentials"} <= about.keys()


def _abandon(fd: int, mid_call: bool) -> None:
    """Closes a descriptor of the parent.

    If this thread forked in the middle of a call (in a signal handler), the child returns into that call. The descriptor's
    number then leads nowhere, so that the line is written once, by the parent.
    """
    try:
        if mid_call:
            nowhere = os.open(os.devnull, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0))
            os.dup2(nowhere, fd, inheritable=False)
            os.close(nowhere)
        else:
            os.close(fd)
    except OSError:
        pass


_spools: dict[tuple[object, ...], Spool] = {}
_spools_lock = threading.Lock()


def spool(given: "str | None", destination: "Destination | None", project: str) -> Spool:
    """The spool of this process for a project and a destination: all trackers share it, so that their calls are ordered."""
    where = given or os.environ.get("CONTEXTCORE_STATE_DIR")
    lane = destination.lane if destination else None
    key = (where, os.environ.get("XDG_STATE_HOME"), os.environ.get("HOME"), lane, project)
    with _spools_lock:
        if key not in _spools:
            _spools[key] = Spool(given, destination, project)
        return _spools[key]


def all_spools() -> list[Spool]:
    """Every spool of this process."""
    return list(_spools.values())


def _after_fork() -> None:
    global _spools_lock
    _spools_lock = threading.Lock()
    for known in list(_spools.values()):
        known._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
