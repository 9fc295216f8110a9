"""Questions to whoever holds the insights: the socket of a running helper or service, else the command line."""

import os
from collections.abc import Iterable
from json import loads
from typing import Any

from . import _helper, _log
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
        wanted = {name: value for name, value in asked.items() if value is not None}
        return self._answer("insight.query", wanted, "insights", ["insight", "query"])

    def guidance(self, project: "str | None", path: "str | None") -> "list[dict[str, Any]]":
        """Guidance of a project, for a path."""
        wanted = {name: value for name, value in (("project", project), ("path", path)) if value is not None}
        return self._answer("guidance.query", wanted, "guidance", ["guide", "list"])

    def _answer(self, cmd: str, wanted: "dict[str, Any]", field: str, command: "list[str]") -> "list[dict[str, Any]]":
        reader = {} if self._reader is None else {"reader": self._reader}
        found = self._by_socket({"v": 1, "cmd": cmd, "query": {**wanted, **reader}}, field)
        if found is not None:
            return found
        try:
            return _rows(self._by_command(command, wanted), field)
        except (ContextCoreError, OSError, ValueError) as error:
            if self._strict:
                raise ContextCoreError(str(error)) from error
            _log.once(f"query {cmd}", f"`contextcore {' '.join(command)}` gave no answer, so none is used: {error}")
            return []

    def _state(self) -> str:
        """The state directory that would be used, without making anything."""
        places = list(candidates(self._given, os.environ))
        return next((place for place in places if os.path.isdir(place)), places[0])

    def _by_socket(self, request: "dict[str, Any]", field: str) -> "list[dict[str, Any]] | None":
        """What the helpers of all lanes answer, or None if none knows the question."""
        lanes = os.path.join(self._state(), "lanes")
        found: "dict[str, dict[str, Any]] | None" = None
        for lane in sorted(os.listdir(lanes)) if os.path.isdir(lanes) else ():
            try:
                with _helper.Connection(os.path.join(lanes, lane), self._timeout) as connection:
                    answer = connection.ask(request)
                if answer.get("ok") is not True:
                    continue
                found = found or {}
                for each in _rows(answer, field):
                    found.setdefault(str(each.get("id")), each)
            except (OSError, ValueError, AttributeError):
                continue
        return None if found is None else list(found.values())[: request["query"].get("limit")]

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


def _rows(answer: Any, field: str) -> "list[dict[str, Any]]":
    rows = answer.get(field) if isinstance(answer, dict) else answer
    if not isinstance(rows, list):
        raise ValueError(f"the answer has no list of {field}")
    return [each for each in rows if isinstance(each, dict)]
