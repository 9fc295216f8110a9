"""Questions to whoever holds the insights: the socket of a running helper or service, else the command line."""

import math
import os
from collections.abc import Iterable
from datetime import date, timedelta
from json import loads
from typing import Any

from . import _encode, _helper, _log
from ._state import candidates
from .errors import ContextCoreError

_OPTIONS = {
    "project": "--project", "type": "--type", "text": "--text", "path": "--path", "task": "--task", "agent": "--agent",
    "audience": "--audience", "min_confidence": "--min-confidence", "since": "--since", "status": "--status",
    "limit": "--limit",
}  # fmt: skip


class Source:
    """Where answers come from."""

    def __init__(self, given: "str | None", strict: bool, timeout: float, reader: "str | None") -> None:
        """``given``: the state directory, if one was named. ``reader``: the agent that asks."""
        self._given = given
        self._strict = strict
        self._timeout = timeout
        self._reader = reader

    def insights(self, asked: "dict[str, Any]") -> "list[dict[str, Any]]":
        """Insights that match."""
        return self._answer("insight.query", asked, "insights", ["insight", "query"])

    def guidance(self, project: "str | None", path: "str | os.PathLike[str] | None") -> "list[dict[str, Any]]":
        """Guidance of a project, for a path."""
        return self._answer("guidance.query", {"project": project, "path": path}, "guidance", ["guide", "list"])

    def _answer(self, cmd: str, asked: "dict[str, Any]", field: str, command: "list[str]") -> "list[dict[str, Any]]":
        """Raises only with `strict`, whatever was asked."""
        try:
            wanted = {name: _written(name, value) for name, value in asked.items() if value is not None}
            reader = {} if self._reader is None else {"reader": self._reader}
            found = self._by_socket({"v": 1, "cmd": cmd, "query": {**wanted, **reader}}, field)
            return found if found is not None else _rows(self._by_command(command, wanted), field)
        except Exception as error:
            if self._strict:
                raise ContextCoreError(str(error)) from error
            message = f"`contextcore {' '.join(command)}` gave no answer, so none is used: {error}"
            _log.once(message, message)
            return []

    def _state(self) -> str:
        """The state directory that would be used, without making anything."""
        places = list(candidates(self._given, os.environ))
        return next((place for place in places if os.path.isdir(place)), places[0])

    def _by_socket(self, request: "dict[str, Any]", field: str) -> "list[dict[str, Any]] | None":
        """What the helpers of all lanes answer, or None if none knows the question."""
        lanes = os.path.join(self._state(), "lanes")
        found: "list[dict[str, Any]] | None" = None
        for lane in sorted(os.listdir(lanes)) if os.path.isdir(lanes) else ():
            try:
                with _helper.Connection(os.path.join(lanes, lane), self._timeout) as connection:
                    answer = connection.ask(request)
                if answer.get("ok") is not True:
                    continue
                found = [*(found or []), *_rows(answer, field)]
            except (OSError, ValueError, AttributeError):
                continue
        return None if found is None else _merged(found)[: request["query"].get("limit")]

    def _by_command(self, command: "list[str]", wanted: "dict[str, Any]") -> Any:
        program = _helper.binary()
        if program is None:
            raise ContextCoreError("the package contextcore-bin is not installed")
        import subprocess

        options: Iterable[str] = (f"{_OPTIONS[name]}={value}" for name, value in wanted.items())
        line = [program, *command, "--output", "json", "--state", self._state(), *options]
        environment = dict(os.environ) if self._reader is None else {**os.environ, "CONTEXTCORE_AGENT": self._reader}
        try:
            done = subprocess.run(
                line, capture_output=True, timeout=self._timeout, check=False, stdin=subprocess.DEVNULL, env=environment
            )
        except subprocess.TimeoutExpired as error:
            raise ContextCoreError(f"no answer within {self._timeout:g} s") from error
        if done.returncode != 0:
            raise ContextCoreError(done.stderr.decode("utf-8", "replace").strip()[-300:] or f"exit code {done.returncode}")
        return loads(done.stdout)


def _written(name: str, value: Any) -> "str | int | float":
    """What is asked for, as the service reads it.

    Raises:
        ContextCoreError: it is nothing that can be asked for.
    """
    if isinstance(value, timedelta):
        return f"{max(math.ceil(value.total_seconds() / 60), 0)}m"
    if isinstance(value, date):
        found = _encode.day_or_moment(value, _refuse)
    elif name == "limit":
        return int(value)
    elif name == "min_confidence":
        return float(value)
    else:
        found = os.fspath(value) if isinstance(value, os.PathLike) else _encode.plain(value)
    return found or ""


def _refuse(message: str) -> None:
    raise ContextCoreError(message)


def _merged(rows: "list[dict[str, Any]]") -> "list[dict[str, Any]]":
    """The rows of several lanes, each once, in the order in which each lane has them: the best first, as the command has them."""
    if any("score" in each for each in rows):
        rows.sort(key=lambda each: (str(each.get("id")), str(each.get("project"))))
        rows.sort(key=lambda each: str(each.get("updated")), reverse=True)
        rows.sort(key=_score, reverse=True)
    found: "dict[str, dict[str, Any]]" = {}
    for each in rows:
        found.setdefault(str(each.get("id")), each)
    return list(found.values())


def _score(row: "dict[str, Any]") -> float:
    score = row.get("score")
    return score if isinstance(score, (int, float)) else 0


def _rows(answer: Any, field: str) -> "list[dict[str, Any]]":
    rows = answer.get(field) if isinstance(answer, dict) else answer
    if not isinstance(rows, list):
        raise ValueError(f"the answer has no list of {field}")
    return [each for each in rows if isinstance(each, dict)]
