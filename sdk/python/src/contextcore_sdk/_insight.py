"""Insights: what they are, and how their ids follow from what they say. Pure."""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from ._destination import sha
from ._encode import plain

# White space by one list, because every language has its own idea of it.
_SPACE = re.compile("[\t\n\v\f\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_SCOPES = ("path:", "task:", "service:", "epic:", "label:")
# The same words about the same things are the same insight of these types.
_BY_CONTENT = ("decision", "lesson", "recommendation", "discovery", "risk")
_FILES = ("file", "path", "files")


def normalised(summary: str) -> str:
    """A summary without differences of case, white space and Unicode form."""
    if summary.isascii():
        folded = summary.lower()
    else:
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", summary).upper().lower())
    return _SPACE.sub(" ", folded).strip(" ")


def scope(applies_to: Iterable[str]) -> list[str]:
    """The scopes of an insight in the form that is hashed."""
    words = {each if each.startswith(_SCOPES) else "path:" + each for each in applies_to}
    return sorted(words, key=lambda each: each.encode("utf-8", "replace"))


def insight_id(project: str, kind: str, summary: str, applies_to: Iterable[str] = (), key: "str | None" = None) -> str:
    """The id: from the content for what is said once, random for what happens each time anew."""
    if not key and kind not in _BY_CONTENT:
        return "ins_" + os.urandom(8).hex()
    what = f"key:{key}" if key else "summary:" + normalised(summary)
    return "ins_" + sha("contextcore-insight-v1", project, kind, what, *scope(applies_to))[:16]


def split_context(given: "Mapping[str, Any] | None", applies_to: list[str]) -> "tuple[list[str], dict[str, Any]]":
    """Files of a context are what the insight applies to; the rest stays context."""
    scopes, rest = list(applies_to), dict[str, Any]()
    for name, value in (given or {}).items():
        if name in _FILES:
            each = [value] if isinstance(value, (str, os.PathLike)) else list(value)
            scopes += [found for found in map(plain, each) if found not in scopes]
        else:
            rest[name] = value
    return scopes, rest


class Evidence:
    """A reference that supports an insight."""

    __slots__ = ("description", "kind", "ref")

    def __init__(self, kind: str, ref: str, description: "str | None" = None) -> None:
        """``kind``: commit, pr, task, trace, log, file, adr, doc, url or agent_trace."""
        self.kind = kind
        self.ref = ref
        self.description = description

    def to_dict(self) -> dict[str, str]:
        """As it is written."""
        found = {"kind": self.kind, "ref": self.ref}
        return {**found, "description": self.description} if self.description else found

    def __repr__(self) -> str:
        """Kind and reference."""
        return f"Evidence({self.kind!r}, {self.ref!r})"

    def __eq__(self, other: object) -> bool:
        """The same reference."""
        return isinstance(other, Evidence) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]


class Insight:
    """Something an agent or a person found out, decided, asked or handed over.

    Attributes that the service alone knows (`status`, `review`, `seen`, …) have their first values on what `emit` returns.
    """

    __slots__ = (
        "agent_id", "applies_to", "audience", "category", "confidence", "created", "evidence", "expires_at", "id", "project",
        "rationale", "raw", "review", "session_id", "severity", "status", "summary", "tags", "task_id", "type",
    )  # fmt: skip

    def __init__(
        self, id: str, type: str, project: str, summary: str, *, confidence: "float | None" = None,
        rationale: "str | None" = None, category: "str | None" = None, tags: Iterable[str] = (),
        applies_to: Iterable[str] = (), evidence: Iterable[Evidence] = (), agent_id: "str | None" = None,
        session_id: "str | None" = None, audience: str = "both", severity: "str | None" = None, status: "str | None" = None,
        review: str = "unreviewed", task_id: "str | None" = None, expires_at: "str | None" = None,
        created: "str | None" = None, raw: "Mapping[str, Any] | None" = None,
    ) -> None:  # fmt: skip
        """``raw``: everything the service said, for fields that have no attribute here."""
        self.id = id
        self.type = type
        self.project = project
        self.summary = summary
        self.confidence = confidence
        self.rationale = rationale
        self.category = category
        self.tags = list(tags)
        self.applies_to = list(applies_to)
        self.evidence = list(evidence)
        self.agent_id = agent_id
        self.session_id = session_id
        self.audience = audience
        self.severity = severity
        self.status = status
        self.review = review
        self.task_id = task_id
        self.expires_at = expires_at
        self.created = created
        self.raw = dict(raw or {})

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> "Insight":
        """From the service's JSON."""
        author = found.get("author")
        author = author if isinstance(author, Mapping) else {}
        known = [each for each in found.get("evidence") or () if isinstance(each, Mapping)]
        return cls(
            str(found.get("id", "")), str(found.get("type", "")), str(found.get("project", "")), str(found.get("summary", "")),
            confidence=found.get("confidence"), rationale=found.get("rationale"), category=found.get("category"),
            tags=found.get("tags") or (), applies_to=found.get("applies_to") or (),
            evidence=[Evidence(str(each.get("kind")), str(each.get("ref")), each.get("description")) for each in known],
            agent_id=author.get("id") or found.get("by"), session_id=author.get("session"),
            audience=found.get("audience") or "both", severity=found.get("severity"), status=found.get("status"),
            review=found.get("review") or "unreviewed", task_id=found.get("task"), expires_at=found.get("expires_at"),
            created=found.get("created"), raw=found,
        )  # fmt: skip

    def __repr__(self) -> str:
        """Type, id and summary."""
        return f"Insight({self.type!r}, {self.id!r}, {self.summary!r})"
