"""Insights of agents: reporting them, and asking what was reported before."""

import os
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal

from . import _encode, _query
from ._client import BeforeSend, Client
from ._insight import Evidence, Insight, insight_id, split_context
from ._names import INSIGHT_TYPES
from ._state import named_project

__all__ = ["Evidence", "GuidanceReader", "HandoffManager", "Insight", "InsightEmitter", "InsightQuerier"]

# Handoffs that are asked for at once.
_PENDING = 1000
# The status an insight of each type begins with.
_FIRST = {"question": "open", "blocker": "open", "risk": "open", "handoff": "offered", "progress": "noted", "analysis": "noted"}


class InsightEmitter(Client):
    """Reports what an agent decides, learns, asks and hands over.

    Like `TaskTracker`, each call appends one line to a file and returns. The insight is kept by the service for as long as it
    holds, also when traces have expired.

    Args:
        project_id: The project. Default: `CONTEXTCORE_PROJECT`, else what `.contextcore/project` here or above says, else
            `default`.
        agent_id: Who reports. Default: `CONTEXTCORE_AGENT`.
        session_id: The conversation or run.
        agent_name: The program that the agent is, e.g. `claude-code`.
        on_behalf_of: The person for whom it works.
        task_id: The task that all insights of this emitter belong to.
        state_dir: As for `TaskTracker`, like the remaining arguments.
    """

    def __init__(
        self, project_id: "str | None" = None, agent_id: "str | None" = None, *, session_id: "str | None" = None,
        agent_name: "str | None" = None, on_behalf_of: "str | None" = None, task_id: "str | None" = None,
        state_dir: "str | os.PathLike[str] | None" = None, otlp_endpoint: "str | None" = None,
        headers: "Mapping[str, str] | None" = None, protocol: 'Literal["grpc", "http/protobuf"] | None' = None,
        drain: Literal["auto", "off"] = "auto", strict: bool = False, project: "str | None" = None,
        mode: 'Literal["online", "offline", "disabled"] | None' = None, before_send: "BeforeSend | None" = None,
        debug: bool = False,
    ) -> None:  # fmt: skip
        """See the class."""
        super().__init__(
            project_id, otlp_endpoint, headers=headers, protocol=protocol, state_dir=state_dir, drain=drain, strict=strict,
            project=project, mode=mode, before_send=before_send, debug=debug,
        )  # fmt: skip
        del self._arguments["actor"]
        self._arguments.update(
            agent_id=agent_id, session_id=session_id, agent_name=agent_name, on_behalf_of=on_behalf_of, task_id=task_id
        )
        self.agent_id = agent_id or os.environ.get("CONTEXTCORE_AGENT") or None
        self.session_id = session_id
        self.agent_name = agent_name
        self.on_behalf_of = on_behalf_of
        self.task_id = task_id

    def emit(
        self, insight_type: str, summary: str, confidence: "float | None" = None, *, rationale: "str | None" = None,
        category: "str | None" = None, audience: str = "both", severity: "str | None" = None,
        applies_to: "Sequence[str] | None" = None, tags: "Sequence[str] | None" = None,
        evidence: "Sequence[Evidence | Mapping[str, str] | str] | None" = None, context: "Mapping[str, Any] | None" = None,
        supersedes: "str | Sequence[str] | None" = None, expires_at: "datetime | str | None" = None,
        task_id: "str | None" = None, key: "str | None" = None, **more: Any,
    ) -> Insight:  # fmt: skip
        """Reports an insight of any type.

        Args:
            insight_type: decision, lesson, question, blocker, risk, handoff, recommendation, discovery, analysis or progress.
                Any other word is an analysis, of that category.
            summary: What it says, in at most 200 characters.
            confidence: How sure you are, 0 to 1.
            rationale: Why, in at most 2,000 characters.
            category: A word of your own, e.g. `architecture`.
            audience: `human`, `agent` or `both`.
            severity: For risks and blockers.
            applies_to: What it is about: `path:src/**` (or a path alone), `task:KEY`, `service:NAME`, `epic:KEY`, `label:NAME`.
            tags: Words to find it by.
            evidence: What supports it: `Evidence`, a dict with `kind` and `ref`, or a reference as text.
            context: What else is known. `file`, `path` and `files` are added to `applies_to`.
            supersedes: Ids of insights that this one replaces.
            expires_at: When it stops holding.
            task_id: The task it belongs to.
            key: Makes insights with the same key the same one, whatever they say.

        Returns:
            The insight with its id. For decisions, lessons, recommendations, discoveries and risks the id follows from what is
            said, so that saying it again is no second insight.
        """
        for name in more:
            if name not in _encode.ORDER["insight.emit"]:
                self._complain(f"an insight has no field {name}")
        kind, what = _encode.safely(insight_type).strip(), _encode.safely(summary)
        if kind and kind not in INSIGHT_TYPES:
            self._complain(f"the insight type {kind!r} is none of {', '.join(INSIGHT_TYPES)}; it is an analysis of that category")
            kind, category = "analysis", category or kind
        try:
            known = _encode.texts(applies_to, self._complain) if applies_to is not None else []
            scopes, rest = split_context(context, known or [])
            found = insight_id(self.project_id, kind, what, scopes, key)
        except Exception as error:  # noqa: BLE001 - whatever was given, the program goes on
            self._complain(f"an insight's context or scope cannot be read: {type(error).__name__}")
            scopes, rest, found = [], {}, insight_id(self.project_id, kind, what)
        given = {
            "id": found, "type": kind, "summary": summary, "confidence": confidence, "agent": self.agent_id,
            "applies_to": scopes or None, "agent_name": self.agent_name, "session": self.session_id,
            "on_behalf_of": self.on_behalf_of, "task": task_id or self.task_id, "key": key, "rationale": rationale,
            "category": category, "tags": tags, "audience": audience if audience != "both" else None, "severity": severity,
            "evidence": evidence, "context": rest or None, "supersedes": supersedes, "expires_at": expires_at, **more,
        }  # fmt: skip
        self._record("insight.emit", None, None, given)
        return self._returned(given, evidence)

    def _returned(self, given: "dict[str, Any]", evidence: Any) -> Insight:
        references = evidence if isinstance(evidence, (list, tuple)) else ()
        tags = given["tags"] if isinstance(given["tags"], (list, tuple)) else ()
        return Insight(
            given["id"], given["type"], self.project_id, given["summary"], confidence=given["confidence"],
            rationale=given["rationale"], category=given["category"], tags=tags, applies_to=given["applies_to"] or (),
            evidence=[each for each in references if isinstance(each, Evidence)], agent_id=self.agent_id,
            session_id=self.session_id, audience=given["audience"] or "both", severity=given["severity"],
            status=_FIRST.get(given["type"], "active"), task_id=given["task"],
        )  # fmt: skip

    def emit_decision(self, summary: str, confidence: "float | None" = None, **kw: Any) -> Insight:
        """A choice that others should know of and keep to. Other arguments: those of `emit`, here and below."""
        return self.emit("decision", summary, confidence, **kw)

    def emit_recommendation(self, summary: str, confidence: "float | None" = None, **kw: Any) -> Insight:
        """What should be done."""
        return self.emit("recommendation", summary, confidence, **kw)

    def emit_lesson(
        self, summary: str, category: "str | None" = None, confidence: float = 0.9,
        applies_to: "Sequence[str] | None" = None, **kw: Any,
    ) -> Insight:  # fmt: skip
        """What was learned the hard way."""
        return self.emit("lesson", summary, confidence, category=category, applies_to=applies_to, **kw)

    def emit_question(
        self, summary: str, options: "Sequence[str] | None" = None, blocking: bool = False, to: str = "human", **kw: Any
    ) -> Insight:
        """Something that a person (or another agent) must answer. `blocking` marks the task as waiting for it."""
        return self.emit("question", summary, kw.pop("confidence", None), options=options, blocking=blocking, to=to, **kw)

    def emit_blocker(self, summary: str, confidence: float = 1.0, **kw: Any) -> Insight:
        """What stops the work."""
        return self.emit("blocker", summary, confidence, **kw)

    def emit_discovery(self, summary: str, confidence: "float | None" = None, **kw: Any) -> Insight:
        """A fact that was not known."""
        return self.emit("discovery", summary, confidence, **kw)

    def emit_risk(self, summary: str, severity: str, **kw: Any) -> Insight:
        """What may go wrong, and how bad it would be."""
        return self.emit("risk", summary, kw.pop("confidence", None), severity=severity, **kw)

    def emit_progress(self, summary: str, percent: "float | None" = None, **kw: Any) -> Insight:
        """How far the work is."""
        return self.emit("progress", summary, kw.pop("confidence", None), percent=percent, **kw)

    def emit_analysis(self, summary: str, confidence: "float | None" = None, **kw: Any) -> Insight:
        """What was found by looking into something."""
        return self.emit("analysis", summary, confidence, **kw)

    def emit_handoff(
        self, to_agent: str, summary: str, *, task_id: "str | None" = None, inputs: "Mapping[str, Any] | None" = None,
        remaining: "Sequence[str] | None" = None, done: "Sequence[str] | None" = None, **kw: Any,
    ) -> Insight:  # fmt: skip
        """Offers work to another agent, to `human` or to `any`: what is there, what is done, and what remains to be done."""
        return self.emit(
            "handoff", summary, kw.pop("confidence", None), task_id=task_id, to=to_agent, inputs=inputs, done=done,
            remaining=remaining, **kw,
        )  # fmt: skip

    def answer(self, question_id: str, text: str, by: "str | None" = None) -> None:
        """Answers a question. An agent's answer is a suggestion until a person confirms it."""
        self._change(question_id, "answer", text, by)

    def retract(self, insight_id: str, reason: "str | None" = None) -> None:
        """Takes an insight back."""
        self._change(insight_id, "retract", reason)

    def accept_handoff(self, handoff_id: str, text: "str | None" = None) -> None:
        """Takes over the work that was offered."""
        self._change(handoff_id, "accept", text)

    def complete_handoff(self, handoff_id: str, text: "str | None" = None) -> None:
        """Finishes the work that was taken over."""
        self._change(handoff_id, "complete", text)

    def reject_handoff(self, handoff_id: str, reason: "str | None" = None) -> None:
        """Declines the work that was offered."""
        self._change(handoff_id, "reject", reason)

    def confirm(self, insight_id: str, evidence: "Sequence[Any] | None" = None) -> None:
        """Says that an insight held in this agent's own work."""
        self._change(insight_id, "confirm", None, evidence=evidence)

    def contradict(self, insight_id: str, reason: str, evidence: "Sequence[Any] | None" = None) -> None:
        """Says that an insight did not hold."""
        self._change(insight_id, "contradict", reason, evidence=evidence)

    def resolve(self, insight_id: str, text: "str | None" = None) -> None:
        """Says that a blocker or a risk is over."""
        self._change(insight_id, "resolve", text)

    def _change(self, insight: str, action: str, text: "str | None", by: "str | None" = None, evidence: Any = None) -> None:
        given = {
            "id": insight, "action": action, "text": text, "by": by, "agent": self.agent_id, "session": self.session_id,
            "evidence": evidence,
        }  # fmt: skip
        self._record("insight.update", None, None, given)

    def __enter__(self) -> "InsightEmitter":
        """Closes itself at the end of `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the emitter."""
        self.close()


class InsightQuerier:
    """Asks what was reported: the running service or helper, else the command `contextcore insight query`.

    Answers are empty, with one warning, where neither is there (`strict` raises).
    """

    def __init__(
        self, project_id: "str | None" = None, *, state_dir: "str | os.PathLike[str] | None" = None, strict: bool = False,
        timeout: float = 10.0, reader: "str | None" = None,
    ) -> None:  # fmt: skip
        """See the class.

        Args:
            project_id: Whose insights. Default: `CONTEXTCORE_PROJECT`, else `.contextcore/project`.
            state_dir: Where helpers are. Default: that of the environment.
            strict: Raise where nobody answers.
            timeout: Seconds that a question may take.
            reader: Id of the agent that asks. Default: `CONTEXTCORE_AGENT`. What it is given is noted: an agent does not
                corroborate what it was given, and handoffs to it come first.
        """
        self.project_id = project_id or named_project(os.environ)
        reader = reader or os.environ.get("CONTEXTCORE_AGENT") or None
        self._source = _query.Source(os.fspath(state_dir) if state_dir else None, strict, timeout, reader)

    def query(
        self, project_id: "str | None" = None, insight_type: "str | None" = None, *, text: "str | None" = None,
        path: "str | os.PathLike[str] | None" = None, task_id: "str | None" = None, agent_id: "str | None" = None,
        audience: "str | None" = None, min_confidence: "float | None" = None,
        since: "str | timedelta | date | None" = "90d",
        status: "str | None" = "open", limit: int = 20,
    ) -> "list[Insight]":  # fmt: skip
        """Insights, best first.

        Args:
            project_id: Default: that of this object.
            insight_type: One type.
            text: Words to look for.
            path: A file; insights that apply to it come first.
            task_id: Only those of a task.
            agent_id: Only those of an agent.
            audience: `human` or `agent`.
            min_confidence: Only those at least as sure.
            since: How far back, e.g. `90d` or a `timedelta`, or from when, a date or a time; None for all. A time without a zone
                is local time.
            status: `open` (what still holds), `all`, or one status.
            limit: At most this many.
        """
        asked = {
            "project": project_id or self.project_id, "type": insight_type, "text": text, "path": path, "task": task_id,
            "agent": agent_id, "audience": audience, "min_confidence": min_confidence, "since": since, "status": status,
            "limit": limit,
        }  # fmt: skip
        return [Insight.from_dict(each) for each in self._source.insights(asked)]

    def get_blockers(self, **kw: Any) -> "list[Insight]":
        """What stops work at present."""
        return self.query(insight_type="blocker", **kw)

    def get_recent_decisions(self, **kw: Any) -> "list[Insight]":
        """Decisions that hold."""
        return self.query(insight_type="decision", **kw)

    def get_lessons(self, applies_to: "str | os.PathLike[str] | None" = None, **kw: Any) -> "list[Insight]":
        """Lessons, for a path if one is given."""
        return self.query(insight_type="lesson", path=applies_to, **kw)

    def get_open_questions(self, **kw: Any) -> "list[Insight]":
        """Questions without an answer."""
        return self.query(insight_type="question", **kw)

    def get_guidance(self, path: "str | os.PathLike[str] | None" = None) -> "list[dict[str, Any]]":
        """Guidance from people: constraints, preferences, focus. For a path if one is given."""
        return self._source.guidance(self.project_id, path)


class GuidanceReader:
    """Guidance from people for a project. Guidance binds; insights inform."""

    def __init__(self, project_id: "str | None" = None, **options: Any) -> None:
        """Takes the options of `InsightQuerier`."""
        self._querier = InsightQuerier(project_id, **options)

    def get_guidance(self, path: "str | os.PathLike[str] | None" = None) -> "list[dict[str, Any]]":
        """All of it, for a path if one is given."""
        return self._querier.get_guidance(path)

    def get_constraints(self, path: "str | os.PathLike[str] | None" = None) -> "list[dict[str, Any]]":
        """What must not be done."""
        return [each for each in self.get_guidance(path) if each.get("kind", "constraint") == "constraint"]

    def get_blocking(self, path: "str | os.PathLike[str] | None" = None) -> "list[dict[str, Any]]":
        """Constraints that forbid a change."""
        return [each for each in self.get_constraints(path) if each.get("severity") == "blocking"]


class HandoffManager:
    """Work that goes from one agent to another. Each change is reported like every insight; pending work is asked for."""

    def __init__(
        self, project_id: "str | None" = None, agent_id: "str | None" = None, *, emitter: "InsightEmitter | None" = None,
        querier: "InsightQuerier | None" = None, **options: Any,
    ) -> None:  # fmt: skip
        """Takes an emitter (and a querier), or the arguments of `InsightEmitter`."""
        self._emitter = emitter or InsightEmitter(project_id, agent_id, **options)
        state = self._emitter._arguments["state_dir"]
        self._querier = querier or InsightQuerier(
            self._emitter.project_id, state_dir=state, reader=self._emitter.agent_id
        )

    def offer(
        self, to_agent: str, summary: str, *, task_id: "str | None" = None, inputs: "Mapping[str, Any] | None" = None,
        remaining: "Sequence[str] | None" = None, done: "Sequence[str] | None" = None, **kw: Any,
    ) -> Insight:  # fmt: skip
        """Offers work. See `InsightEmitter.emit_handoff`."""
        return self._emitter.emit_handoff(
            to_agent, summary, task_id=task_id, inputs=inputs, remaining=remaining, done=done, **kw
        )

    def accept(self, handoff_id: str, text: "str | None" = None) -> None:
        """Takes work over."""
        self._emitter.accept_handoff(handoff_id, text)

    def complete(self, handoff_id: str, text: "str | None" = None) -> None:
        """Finishes work that was taken over."""
        self._emitter.complete_handoff(handoff_id, text)

    def reject(self, handoff_id: str, reason: "str | None" = None) -> None:
        """Declines work."""
        self._emitter.reject_handoff(handoff_id, reason)

    def get_pending(self, agent_id: "str | None" = None) -> "list[Insight]":
        """Work that is offered to an agent (default: this one), or to any."""
        me = agent_id or self._emitter.agent_id
        # Those of all agents are asked for, so the usual limit is too low.
        offered = self._querier.query(insight_type="handoff", status="offered", limit=_PENDING)
        return [each for each in offered if each.raw.get("to") in (me, "any")]
