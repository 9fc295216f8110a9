"""Posts the spool to the ``/v1/ops`` of a service where no helper can: neither a shared disk nor the binary is there.

Nothing runs beside the program. `flush`, `close` and the end of the process take the lane as a helper would, post what is on
disk, and give it up. How far a lane was posted is in ``posted.json``, as `contextcore drain --to` writes it; what was posted twice
counts once, because each line keeps its writer and number.

A line leaves the spool only when the answer names it: as stored, or as one that can never be. Whatever else answers there (a proxy, a
login page) settles nothing.
"""

import json
import os
import time
from datetime import datetime, timezone
from typing import Any

from . import _log
from ._destination import Destination
from ._spool import LINE_BYTES, Spool

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

# The other side takes 1 MiB.
_BODY_BYTES = 900 * 1024
_ANSWER_BYTES = 4 << 20
_POSTED = "posted.json"
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0
_REQUEST_S = 10.0
# Why older services, whose answers have no kinds, refuse a line that can never be stored.
_INVALID = (
    "it is no operation",
    "it is longer than 64 KiB",
    "its writer is not 32 hex digits, or its project is empty",
    "no header comes before it",
)


class _Refused(Exception):
    """Nothing was taken; ``wait`` is None if it never will be, else the seconds that the service asked for."""

    def __init__(self, reason: str, wait: "float | None", too_large: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.too_large = too_large


def posts(spool: Spool) -> bool:
    """Whether lines of this spool go to a service."""
    return spool.destination is not None and spool.destination.protocol == "ops"


def flush(spool: Spool, timeout: float) -> bool:
    """Posts the lane, for at most so many seconds. True if everything that this process wrote was taken."""
    deadline = time.monotonic() + timeout
    assert spool.destination is not None
    with _Lane(spool.path) as lane:
        if not lane.take(deadline):
            return False
        try:
            _post_all(lane, spool.destination, deadline)
            # The service may withhold the lines of another process, of a project that the token does not know.
            return not lane.withheld.intersection(spool.positions())
        except _Refused as error:
            _log.limited(f"post {spool.destination.endpoint}", f"{spool.destination.endpoint} takes no reports: {error}; they stay in the spool")
            return False


def sweep(spool: Spool) -> None:
    """Removes what was posted and is not written any more."""
    with _Lane(spool.path) as lane:
        if lane.take(time.monotonic()):
            lane.remove_posted()


def _post_all(lane: "_Lane", destination: Destination, deadline: float) -> None:
    wait = _SHORTEST_WAIT_S
    while True:
        batch = lane.next_batch()
        try:
            _post_batch(batch, destination, deadline)
        except _Refused as error:
            lane.store(batch)
            pause = max(wait, error.wait) if error.wait is not None else None
            if pause is None or time.monotonic() + pause >= deadline:
                raise
            time.sleep(pause)
            wait = min(wait * 2, _LONGEST_WAIT_S)
            continue
        lane.store(batch)
        if not batch.lines:
            lane.remove_posted()
            return
        wait = _SHORTEST_WAIT_S


def _post_batch(batch: "_Batch", destination: Destination, deadline: float) -> None:
    """Posts a batch; one that is too large for the other side in halves."""
    waiting = [batch.lines] if batch.lines else []
    while waiting:
        lines = waiting.pop()
        left = min(max(deadline - time.monotonic(), 0.1), _REQUEST_S)
        try:
            answer = _request(destination, _body(lines), left)
        except _Refused as error:
            if not error.too_large or len(lines) == 1:
                raise
            middle = len(lines) // 2
            waiting += [lines[middle:], lines[:middle]]
            continue
        _settle(answer, lines, destination)


def _settle(answer: bytes, lines: "list[_Line]", destination: Destination) -> None:
    """Marks what the answer settles, and what the service withholds.

    Raises:
        _Refused: the answer does not say what became of each line.
    """
    acked, rejected = _read_answer(answer)
    for line in lines:
        refusal = _refusal_of(line, acked, rejected)
        if refusal is None:
            line.settled = line.number <= acked.get(line.writer, 0)
        elif refusal.get("kind") == "invalid" or ("kind" not in refusal and refusal.get("reason") in _INVALID):
            line.settled = True
            _log.limited("rejected", f"{destination.endpoint} rejected an operation for good: {json.dumps(refusal)[:300]}")
        else:
            line.withheld = True
            project, reason = line.project(), str(refusal.get("reason"))[:300]
            _log.once(
                f"withheld {destination.endpoint} {project}",
                f"{destination.endpoint} takes no reports of project {project}: {reason}; they stay in the spool",
            )
    if not all(line.settled or line.withheld for line in lines):
        shown = answer[:100].decode("utf-8", "replace")
        raise _Refused(f"it answered {shown!r}, which does not acknowledge what was posted: this is not ContextCore's /v1/ops", 0.0)


def _read_answer(answer: bytes) -> "tuple[dict[str, int], list[dict[str, Any]]]":
    """The greatest number that is stored of each writer, and the lines that are not; nothing if it is another's answer."""
    try:
        found = json.loads(answer)
    except ValueError:
        return {}, []
    acked, rejected = (found.get("acked"), found.get("rejected")) if isinstance(found, dict) else (None, None)
    if not isinstance(acked, dict):
        return {}, []
    numbers = {writer: number for writer, number in acked.items() if type(number) is int}
    return numbers, [each for each in rejected if isinstance(each, dict)] if isinstance(rejected, list) else []


def _refusal_of(line: "_Line", acked: "dict[str, int]", rejected: "list[dict[str, Any]]") -> "dict[str, Any] | None":
    """What the service says against a line. One that it could not read has no number there; each of those stands for one line."""
    own = [each for each in rejected if each.get("writer") == line.writer]
    for each in own:
        if each.get("seq") == line.number:
            return each
    if line.number <= acked.get(line.writer, 0):
        return None
    nameless = next((each for each in own if each.get("seq") is None), None)
    if nameless is not None:
        rejected.remove(nameless)
    return nameless


def _body(lines: "list[_Line]") -> bytes:
    """When it is sent, and each writer's header before its lines."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body, last = [b'{"v":1,"sent":"%b"}' % now.encode()], b""
    for line in lines:
        if line.header != last:
            body.append(line.header)
            last = line.header
        body.append(line.text)
    return b"\n".join(body) + b"\n"


def _request(destination: Destination, body: bytes, timeout: float) -> bytes:
    """One request, and its answer. The modules are slow to import, and few programs need them."""
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

    class NoRedirect(HTTPRedirectHandler):
        """Headers with a token go to the address that was given, and no other."""

        def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
            return None

    headers = {"content-type": "application/x-ndjson", **destination.headers}
    request = Request(destination.endpoint.replace("+ops://", "://", 1), data=body, headers=headers, method="POST")
    try:
        handlers: list[Any] = [NoRedirect()]
        if request.type == "https":
            handlers.append(HTTPSHandler(context=_tls()))
        with build_opener(*handlers).open(request, timeout=timeout) as response:
            found: bytes = response.read(_ANSWER_BYTES)
    except HTTPError as error:
        with error:
            text = error.read(300).decode("utf-8", "replace").strip().splitlines()
        reason = f"HTTP {error.code}" + (f": {text[0]}" if text else "")
        later = error.code in (408, 425, 429) or error.code >= 500
        raise _Refused(reason, _retry_after(error.headers.get("retry-after")) if later else None, error.code == 413) from None
    except (OSError, ValueError) as error:
        raise _Refused(str(getattr(error, "reason", error)), 0.0) from None
    return found


def _retry_after(given: "str | None") -> float:
    try:
        return max(float(given or 0), 0.0)
    except ValueError:
        return 0.0


def _tls() -> Any:
    import ssl

    authority = os.environ.get("OTEL_EXPORTER_OTLP_CERTIFICATE", "").strip()
    return ssl.create_default_context(cafile=authority or None)


class _Line:
    """A line with the header of its segment, where its writer stands if it is not taken, and what became of it."""

    __slots__ = ("before", "header", "number", "settled", "text", "withheld", "writer")

    def __init__(self, header: bytes, text: bytes, writer: str, number: int, before: "dict[str, Any]") -> None:
        self.header, self.text, self.writer, self.number, self.before = header, text, writer, number, before
        self.settled = self.withheld = False

    def project(self) -> str:
        """The project of its header."""
        try:
            return str(json.loads(self.header)["project"])
        except (ValueError, KeyError, TypeError):
            return "?"


class _Batch:
    """Lines, and how far each writer has been read with them."""

    def __init__(self, places: "dict[str, dict[str, Any]]") -> None:
        self.lines: list[_Line] = []
        self.places = {writer: dict(place) for writer, place in places.items()}
        self.size = 0

    def settled(self) -> "dict[str, dict[str, Any]]":
        """How far each writer was posted: up to its first line that is not settled."""
        stay: dict[str, dict[str, Any]] = {}
        for line in self.lines:
            if not line.settled:
                stay.setdefault(line.writer, line.before)
        return {**self.places, **stay}


class _Lane:
    """The directory of a destination, while it is held as a helper holds it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = -1
        self._cursor: dict[str, Any] = {}
        #: Writers whose lines the service does not take now. They keep no other waiting.
        self.withheld: set[str] = set()

    def __enter__(self) -> "_Lane":
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock >= 0:
            os.close(self._lock)

    def take(self, deadline: float) -> bool:
        """Locks the lane. False if another process has it until then, and is posting it."""
        self._lock = os.open(os.path.join(self.path, "engine.lock"), os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        while fcntl:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.02)
        try:
            with open(os.path.join(self.path, _POSTED), encoding="utf-8") as file:
                self._cursor = json.load(file)
        except (OSError, ValueError):
            self._cursor = {}
        return True

    def segments(self) -> "list[tuple[str, int, str]]":
        """Writer, number and path of each segment, in order, at this moment: processes begin and end beside it."""
        found: list[tuple[str, int, str]] = []
        for folder, _, names in os.walk(os.path.join(self.path, "spool")):
            for name in names:
                writer, _, rest = name.partition(".")
                number = rest[: -len(".jsonl")]
                if name.endswith(".jsonl") and len(writer) == 32 and number.isdigit():
                    found.append((writer, int(number), os.path.join(folder, name)))
        return sorted(found)

    def places(self) -> "dict[str, dict[str, Any]]":
        """How far each writer was posted."""
        known = self._cursor.get("writers")
        return known if isinstance(known, dict) else {}

    def next_batch(self) -> _Batch:
        """The whole lines that follow, in one body."""
        batch = _Batch(self.places())
        found = self.segments()
        last = {writer: number for writer, number, _ in found}
        for writer, number, path in found:
            if writer in self.withheld:
                continue
            place = batch.places.setdefault(writer, {"segment": number, "offset": 0, "seq": 0})
            if number < place["segment"] or place.get("ended"):
                continue
            if number > place["segment"]:
                place.update(segment=number, offset=0)
            if not self._read((writer, path), place, batch, number < last[writer] or _is_dead(path)):
                break
        return batch

    def _read(self, of: "tuple[str, str]", place: "dict[str, Any]", batch: _Batch, complete: bool) -> bool:
        """Reads on in a segment of a writer. False if the body is full."""
        writer, path = of
        try:
            with open(path, "rb") as file:
                header = file.readline(LINE_BYTES)
                if not header.endswith(b"\n"):
                    return True
                place["offset"] = max(place["offset"], len(header))
                file.seek(place["offset"])
                while True:
                    line = file.readline()
                    if not line.endswith(b"\n") and not (complete and _number(line)):
                        return True
                    if batch.size + len(line) + len(header) > _BODY_BYTES:
                        return False
                    number, before = _number(line), dict(place)
                    place["offset"] += len(line)
                    if number:
                        place["seq"] = max(int(place.get("seq") or 0), number)
                        batch.lines.append(_Line(header.strip(), line.strip(), writer, number, before))
                        batch.size += len(header) + len(line)
        except FileNotFoundError:
            return True

    def store(self, batch: _Batch) -> None:
        """Makes it durable how far the lane was posted, before anything behind it is removed."""
        self.withheld.update(line.writer for line in batch.lines if line.withheld)
        settled = batch.settled()
        if settled == self.places() and self._cursor:
            return
        self._cursor["writers"] = settled
        temporary = os.path.join(self.path, f".{_POSTED}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            os.write(fd, json.dumps(self._cursor, separators=(",", ":")).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, os.path.join(self.path, _POSTED))

    def remove_posted(self) -> None:
        """Removes the segments that were posted whole and are not written any more."""
        found = self.segments()
        last = {writer: number for writer, number, _ in found}
        for writer, number, path in found:
            place = self.places().get(writer)
            if place is None or number > place["segment"] or (number == last[writer] and not _is_dead(path)):
                continue
            try:
                if number < place["segment"] or place["offset"] >= os.path.getsize(path):
                    os.unlink(path)
            except OSError:
                continue


def _is_dead(path: str) -> bool:
    """Whether nobody writes a segment any more: its writer holds a lock for life."""
    if not fcntl:
        return False
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _number(line: bytes) -> int:
    """The number of a line; 0 if it is no operation."""
    try:
        found = json.loads(line)
    except ValueError:
        return 0
    number = found.get("seq") if isinstance(found, dict) and "op" in found else None
    return number if isinstance(number, int) else 0
