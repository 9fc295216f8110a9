"""Posts the spool to the ``/v1/ops`` of a service where no helper can: neither a shared disk nor the binary is there.

Nothing runs beside the program. `flush`, `close` and the end of the process take the lane as a helper would, post what is on
disk, and give it up. How far a lane was posted is in ``posted.json``, as `contextcore drain --to` writes it; what was posted twice
counts once, because each line keeps its writer and number.
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
_POSTED = "posted.json"
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0
_REQUEST_S = 10.0


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
            return _posted(lane, spool.destination, deadline)
        except _Refused as error:
            _log.limited(f"post {spool.destination.endpoint}", f"{spool.destination.endpoint} takes no reports: {error}; they stay in the spool")
            return False


def sweep(spool: Spool) -> None:
    """Removes what was posted and is not written any more."""
    with _Lane(spool.path) as lane:
        if lane.take(time.monotonic()):
            lane.remove_posted()


def _posted(lane: "_Lane", destination: Destination, deadline: float) -> bool:
    wait = _SHORTEST_WAIT_S
    while True:
        batch = lane.next_batch()
        if not batch.lines:
            lane.store(batch)
            lane.remove_posted()
            return True
        try:
            _post_batch(batch, destination, deadline)
        except _Refused as error:
            pause = max(wait, error.wait) if error.wait is not None else None
            if pause is None or time.monotonic() + pause >= deadline:
                raise
            time.sleep(pause)
            wait = min(wait * 2, _LONGEST_WAIT_S)
            continue
        lane.store(batch)
        wait = _SHORTEST_WAIT_S


def _post_batch(batch: "_Batch", destination: Destination, deadline: float) -> None:
    """Posts a batch; one that is too large for the other side in halves."""
    waiting = [batch.lines]
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
        for each in answer.get("rejected") or ():
            _log.limited("rejected", f"{destination.endpoint} rejected an operation: {json.dumps(each)[:300]}")


def _body(lines: "list[tuple[bytes, bytes]]") -> bytes:
    """When it is sent, and each writer's header before its lines."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body, last = [b'{"v":1,"sent":"%b"}' % now.encode()], b""
    for header, line in lines:
        if header != last:
            body.append(header)
            last = header
        body.append(line)
    return b"\n".join(body) + b"\n"


def _request(destination: Destination, body: bytes, timeout: float) -> "dict[str, Any]":
    """One request. The modules are slow to import, and few programs need them."""
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
            found = json.loads(response.read() or b"{}")
    except HTTPError as error:
        with error:
            text = error.read(300).decode("utf-8", "replace").strip().splitlines()
        reason = f"HTTP {error.code}" + (f": {text[0]}" if text else "")
        later = error.code in (408, 425, 429) or error.code >= 500
        raise _Refused(reason, _retry_after(error.headers.get("retry-after")) if later else None, error.code == 413) from None
    except (OSError, ValueError) as error:
        raise _Refused(str(getattr(error, "reason", error)), 0.0) from None
    return found if isinstance(found, dict) else {}


def _retry_after(given: "str | None") -> float:
    try:
        return max(float(given or 0), 0.0)
    except ValueError:
        return 0.0


def _tls() -> Any:
    import ssl

    authority = os.environ.get("OTEL_EXPORTER_OTLP_CERTIFICATE", "").strip()
    return ssl.create_default_context(cafile=authority or None)


class _Batch:
    """Lines with their headers, and how far each writer has been posted with them."""

    def __init__(self, places: "dict[str, dict[str, Any]]") -> None:
        self.lines: list[tuple[bytes, bytes]] = []
        self.places = {writer: dict(place) for writer, place in places.items()}
        self.size = 0


class _Lane:
    """The directory of a destination, while it is held as a helper holds it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = -1
        self._cursor: dict[str, Any] = {}

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
            place = batch.places.setdefault(writer, {"segment": number, "offset": 0, "seq": 0})
            if number < place["segment"] or place.get("ended"):
                continue
            if number > place["segment"]:
                place.update(segment=number, offset=0)
            if not self._read(path, place, batch, number < last[writer] or _is_dead(path)):
                break
        return batch

    def _read(self, path: str, place: "dict[str, Any]", batch: _Batch, complete: bool) -> bool:
        """Reads on in a segment. False if the body is full."""
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
                    place["offset"] += len(line)
                    self._add(header.strip(), line.strip(), place, batch)
        except FileNotFoundError:
            return True

    @staticmethod
    def _add(header: bytes, line: bytes, place: "dict[str, Any]", batch: _Batch) -> None:
        number = _number(line)
        if number:
            place["seq"] = max(int(place.get("seq") or 0), number)
            batch.lines.append((header, line))
            batch.size += len(header) + len(line) + 2

    def store(self, batch: _Batch) -> None:
        """Makes it durable how far the lane was posted, before anything behind it is removed."""
        if batch.places == self.places() and self._cursor:
            return
        self._cursor["writers"] = batch.places
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
