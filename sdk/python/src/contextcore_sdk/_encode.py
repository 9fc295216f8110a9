"""From a call's arguments to the fields of an operation: which fields in which order, and how each value is written.

Everything here is pure. A value that cannot be written as it is comes back clamped, as text, or not at all, together with a
complaint that the client logs once or raises (``strict``).
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timezone
from enum import Enum
from json import JSONEncoder
from typing import Any

from ._names import INSIGHT_TYPES, TASK_TYPES
from ._spool import LINE_BYTES

# A field that was given as None to clear it (`task.update`).
Fields = dict[str, Any]
Complain = Callable[[str], None]

_EVENT_ATTRIBUTES = 16
_EVENT_BYTES = 2000
_LINKS = ("commit", "pr", "build", "deployment", "trace", "url")
_INTEGER = 2**63
# The last time of the calendar that reads the lines, which has room for a zone of any offset.
_LATEST = datetime(9999, 12, 30, 22, 0, 0, 999999, timezone.utc)

# What `before_send` adds must be JSON, too: NaN is none.
encoder = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def plain(value: object) -> str:
    """Any value as text; an enum's value rather than its name."""
    if type(value) is str:
        return value
    return str(value.value if isinstance(value, Enum) else value)


def safely(value: object) -> str:
    """As `plain`, whatever the value does when it is asked for its text."""
    try:
        return plain(value)
    except Exception:  # noqa: BLE001 - it is the program's value and the program's code
        return ""


def text(value: object, _: Complain) -> "str | None":
    """A text as given; an empty one is left out."""
    return plain(value) or None


def word(value: object, _: Complain) -> "str | None":
    """A text without white space around it."""
    return plain(value).strip() or None


def task_type(value: object, complain: Complain) -> "str | None":
    """A type; one that is not ours is passed on as it is."""
    name = plain(value).strip()
    if name and name not in TASK_TYPES:
        complain(f"the task type {name!r} is none of {', '.join(TASK_TYPES)}")
    return name or None


def rounded(value: float) -> "int | float":
    """Four decimals, and a whole number without its decimals: the same text in every language."""
    if abs(value) < 1e11:
        value = math.floor(value * 10_000 + 0.5) / 10_000
    return int(value) if value == int(value) and abs(value) < 1e21 else value


def number(value: object, complain: Complain) -> "int | float | None":
    """A number; NaN and infinities are left out."""
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        complain(f"{plain(value)[:50]!r} is no number")
        return None
    return rounded(found)


def _between(low: float, high: float) -> "Callable[[object, Complain], int | float | None]":
    def clamp(value: object, complain: Complain) -> "int | float | None":
        found = number(value, complain)
        if found is not None and not low <= found <= high:
            complain(f"{found} is not between {low:g} and {high:g}")
            found = rounded(min(max(found, low), high))
        return found

    return clamp


def texts(value: Any, complain: Complain) -> "list[str] | None":
    """A list of texts; one text alone is a list of one."""
    if isinstance(value, (str, Enum)):
        value = [value]
    try:
        return [item for item in (plain(each) for each in value if each is not None) if item]
    except TypeError:
        complain(f"{plain(value)[:50]!r} is no list of texts")
        return [plain(value)]


def day(value: object, complain: Complain) -> "str | None":
    """A date, ``YYYY-MM-DD``."""
    if isinstance(value, datetime):
        value = value.date()
    try:
        found = value if isinstance(value, date) else date.fromisoformat(plain(value).strip()[:10])
        if found > _LATEST.date():
            raise ValueError
        return found.isoformat()
    except ValueError:
        complain(f"{plain(value)[:50]!r} is no date like 2026-11-26")
        return None


def _parsed(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, timezone.utc)
    given = plain(value).strip()
    return datetime.fromisoformat(given[:-1] + "+00:00" if given[-1:] in "zZ" else given)


def moment(value: object, complain: Complain) -> "str | None":
    """A time in UTC; one without a zone is local time."""
    try:
        # `astimezone` reads a naive datetime as local time.
        found = _parsed(value).astimezone(timezone.utc)
        if found > _LATEST:
            raise ValueError
    except (ValueError, OverflowError, OSError):
        complain(f"{plain(value)[:50]!r} is no time like 2026-11-26T20:51:06Z")
        return None
    millis = found.microsecond // 1000
    seconds = f"{found.year:04d}-{found.month:02d}-{found.day:02d}T{found.hour:02d}:{found.minute:02d}:{found.second:02d}"
    return f"{seconds}.{millis:03d}Z" if millis else f"{seconds}Z"


def day_or_moment(value: object, complain: Complain) -> "str | None":
    """A date stays a date; everything else is a time."""
    is_date = isinstance(value, date) and not isinstance(value, datetime)
    if is_date or (isinstance(value, str) and len(value.strip()) == 10):
        return day(value, complain)
    return moment(value, complain)


def scalar(value: object) -> "str | int | float | bool | None":
    """An attribute's value: text, number or boolean; lists and mappings as JSON, others as text."""
    if isinstance(value, bool) or value is None or type(value) is str:
        return value
    if isinstance(value, Enum):
        return plain(value)
    if isinstance(value, int):
        return int(value) if -_INTEGER <= value < _INTEGER else str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 1e21 else float(value)
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return to_bytes(_inner(value)).decode()
    return plain(value)


def _inner(value: object) -> object:
    """A list or a mapping inside an attribute, which becomes JSON; what JSON does not know is text."""
    if isinstance(value, Mapping):
        return {plain(name): _inner(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_inner(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_inner(each) for each in value), key=plain)
    return scalar(value)


def _scalars(value: Any, complain: Complain, keep_none: bool) -> "Fields | None":
    if not isinstance(value, Mapping):
        complain("attributes are a mapping of names to values")
        return None
    pairs = ((plain(name), scalar(each), each is None) for name, each in value.items())
    found = {name: each for name, each, cleared in pairs if name and (each is not None or (cleared and keep_none))}
    return found or None


def attributes(value: Any, complain: Complain) -> "Fields | None":
    """Own attributes of one level."""
    return _scalars(value, complain, keep_none=False)


def changed_attributes(value: Any, complain: Complain) -> "Fields | None":
    """As `attributes`; None clears one."""
    return _scalars(value, complain, keep_none=True)


def event_attributes(value: Any, complain: Complain) -> "Fields | None":
    """Attributes of an event: at most 16, and 2,000 bytes of JSON."""
    found = attributes(value, complain) or {}
    kept = dict(list(found.items())[:_EVENT_ATTRIBUTES])
    while kept and len(to_bytes(kept)) > _EVENT_BYTES:
        kept.popitem()
    if len(kept) < len(found):
        complain(f"an event has at most {_EVENT_ATTRIBUTES} attributes and {_EVENT_BYTES} bytes of them; the last were cut")
    return kept or None


def context(value: Any, complain: Complain) -> "Fields | None":
    """What else is known of an insight: at most 16 values."""
    found = attributes(value, complain) or {}
    if len(found) > _EVENT_ATTRIBUTES:
        complain(f"an insight has at most {_EVENT_ATTRIBUTES} values of context; the last were cut")
    return dict(list(found.items())[:_EVENT_ATTRIBUTES]) or None


def event_name(value: object, complain: Complain) -> "str | None":
    """The name of an event of one's own."""
    name = plain(value).strip()
    if not name:
        return None
    well = name[:1].isalpha() and len(name) <= 64 and all(c in "abcdefghijklmnopqrstuvwxyz0123456789_." for c in name)
    if not well:
        complain(f"the event name {name[:70]!r} does not match ^[a-z][a-z0-9_.]{{0,63}}$")
        kept = "".join(c if c in "abcdefghijklmnopqrstuvwxyz0123456789_." else "_" for c in name.lower())
        name = (kept if kept[:1].isalpha() else "event_" + kept)[:64]
    return name


def link_kind(value: object, complain: Complain) -> "str | None":
    """What a link leads to; an unknown kind is a ``url``."""
    kind = plain(value).strip()
    if kind not in _LINKS:
        complain(f"the kind of link {kind!r} is none of {', '.join(_LINKS)}")
        kind = "url"
    return kind


def insight_type(value: object, complain: Complain) -> "str | None":
    """The type of an insight; one that is not ours is passed on as it is."""
    name = plain(value).strip()
    if name not in INSIGHT_TYPES:
        complain(f"the insight type {name!r} is none of {', '.join(INSIGHT_TYPES)}")
    return name or None


def _cut(limit: int) -> "Callable[[object, Complain], str | None]":
    def shorten(value: object, complain: Complain) -> "str | None":
        whole = plain(value)
        if len(whole) > limit:
            complain(f"a text was cut to {limit} characters")
            whole = whole[: limit - 1] + "…"
        return whole or None

    return shorten


def _at_most(limit: int) -> "Callable[[Any, Complain], list[str] | None]":
    def shorten(value: Any, complain: Complain) -> "list[str] | None":
        found = texts(value, complain) or []
        if len(found) > limit:
            complain(f"a list was cut to {limit} entries")
        return found[:limit] or None

    return shorten


def evidence(value: Any, complain: Complain) -> "list[Fields] | None":
    """References that support an insight, at most 16."""
    found: list[Fields] = []
    for each in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(each, str):
            each = {"kind": "url" if "://" in each else "doc", "ref": each}
        elif hasattr(each, "to_dict"):
            each = each.to_dict()
        if not isinstance(each, Mapping) or not each.get("ref"):
            complain("evidence needs a `ref`")
            continue
        order = ("kind", "ref", "description")
        found.append({name: plain(each[name]).strip() for name in order if each.get(name)})
    if len(found) > 16:
        complain("a list was cut to 16 entries")
    return found[:16] or None


def flag(value: object, _: Complain) -> "bool | None":
    """True, or nothing."""
    return True if value else None


_percent = _between(0, 100)
_confidence = _between(0, 1)

_TASK: "dict[str, Callable[[Any, Complain], Any]]" = {
    "title": text, "type": task_type, "status": word, "parent": word, "priority": word, "assignee": text, "estimate": number,
    "labels": texts, "sprint": word, "due": day, "url": text, "depends_on": texts,
}  # fmt: skip
_SPRINT: "dict[str, Callable[[Any, Complain], Any]]" = {
    "id": word, "name": text, "goal": text, "start": day_or_moment, "end": day_or_moment
}  # fmt: skip

# The fields of each operation after `op` and `task`, in the order in which they are written.
ORDER: "dict[str, dict[str, Callable[[Any, Complain], Any]]]" = {
    "task.start": {**_TASK, "attributes": attributes},
    "task.update": {**_TASK, "attributes": changed_attributes},
    "task.status": {"status": word, "reason": text},
    "task.block": {"reason": text, "blocked_by": word},
    "task.unblock": {},
    "task.complete": {},
    "task.cancel": {"reason": text},
    "task.reopen": {},
    "task.progress": {"percent": _percent},
    "task.comment": {"text": text, "author": text},
    "task.event": {"name": event_name, "attributes": event_attributes},
    "task.link": {"kind": link_kind, "ref": word, "url": text},
    "sprint.start": _SPRINT,
    "sprint.end": _SPRINT,
    "insight.emit": {
        "id": word, "type": insight_type, "summary": _cut(200), "confidence": _confidence, "agent": word,
        "applies_to": _at_most(16), "agent_name": text, "session": word, "on_behalf_of": text, "task": word, "key": word,
        "rationale": _cut(2000), "category": text, "tags": texts, "audience": word, "severity": word, "evidence": evidence,
        "context": context, "supersedes": texts, "expires_at": moment, "options": texts, "blocking": flag, "to": word,
        "inputs": attributes, "done": texts, "remaining": texts, "percent": _percent,
    },
    "insight.update": {
        "id": word, "action": word, "text": _cut(2000), "by": text, "agent": word, "session": word, "evidence": evidence
    },
}  # fmt: skip
# What an operation cannot be without, besides the id of its task: no reader takes it.
REQUIRED: "dict[str, tuple[str, ...]]" = {
    "task.status": ("status",),
    "task.progress": ("percent",),
    "task.comment": ("text",),
    "task.event": ("name",),
    "task.link": ("kind", "ref"),
    "sprint.start": ("id",),
    "sprint.end": ("id",),
    "insight.emit": ("id", "type", "summary"),
    "insight.update": ("id", "action"),
}
_INSIGHT_ID = re.compile("ins_[0-9a-f]{16}")
# `null` clears a field of a task, except these.
_NOT_CLEARED = ("title", "type", "status")
# Texts that give way, in this order, when a line is too long.
_LONG = ("text", "rationale", "reason", "summary", "title", "attributes", "context", "inputs")
_SHORT = 1000


def fields(op: str, given: "dict[str, Any]", complain: Complain) -> Fields:
    """The fields of an operation in their order; what was not given is left out."""
    found: Fields = {}
    clears = op == "task.update"
    for name, write in ORDER[op].items():
        value = given.get(name)
        if value is not None:
            value = write(value, complain)
            if value is not None and (value != [] or clears):
                found[name] = value
        elif clears and name in given and name not in _NOT_CLEARED:
            found[name] = None
    return found


def missing(operation: Fields) -> "str | None":
    """Why no reader would take an operation; None if nothing is missing."""
    op = operation["op"]
    for name in REQUIRED.get(op, ()):
        value = operation.get(name)
        if value is None or not plain(value).strip():
            return f"{op}: the {name} is empty"
    if op.startswith("insight.") and not _INSIGHT_ID.fullmatch(operation["id"]):
        return f"{op}: {operation['id'][:50]!r} is not the id of an insight"
    return None


def to_bytes(value: object) -> bytes:
    """Compact JSON in UTF-8; half a surrogate pair becomes U+FFFD."""
    whole = encoder.encode(value)
    try:
        return whole.encode()
    except UnicodeEncodeError:
        return whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def line(operation: Fields) -> "bytes | None":
    """The part of a line after its number and time; None if it is too long even when its texts are cut."""
    found = to_bytes(operation)[1:]
    if len(found) + 80 <= LINE_BYTES:
        return found
    short = dict(operation)
    for name in _LONG:
        if name in short:
            short[name] = _shorten(short[name])
            found = to_bytes(short)[1:]
            if len(found) + 80 <= LINE_BYTES:
                return found
    return None


def _shorten(value: Any) -> Any:
    if isinstance(value, dict):
        each: dict[Any, Any] = value
        return {name: _shorten(item) for name, item in each.items()}
    return value[: _SHORT - 1] + "…" if isinstance(value, str) and len(value) > _SHORT else value
