"""Tasks and sprints: the calls of programs that report their own work."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from enum import Enum
from typing import Any, Literal, TypeVar, Union, overload

from . import _encode
from ._client import BeforeSend, Client
from ._names import PROJECT_ID, TASK_ID
from ._task import Task, named_after

Scalar = Union[str, int, float, bool]
_Function = TypeVar("_Function", bound="Any")


class TaskType(str, Enum):
    """The kind of work a task is. Other words are passed on as they are."""

    EPIC = "epic"
    STORY = "story"
    TASK = "task"
    SUBTASK = "subtask"
    BUG = "bug"
    SPIKE = "spike"
    INCIDENT = "incident"


class Status(str, Enum):
    """The state of a task. Other words are kept as its native status and mapped by the service's `statuses:`."""

    BACKLOG = "backlog"
    TODO = "todo"
    IN_PROGRESS = "in_progress"
    IN_REVIEW = "in_review"
    BLOCKED = "blocked"
    DONE = "done"
    CANCELLED = "cancelled"


class _Unset:
    """A field that was not given, where None clears it."""

    def __repr__(self) -> str:
        """As it looks in signatures."""
        return "UNSET"


class _Default(str):
    """A default that can be known from the same text given by a caller."""


UNSET = _Unset()
_TASK: str = _Default("task")
_FINISHED = (Status.DONE.value, Status.CANCELLED.value)


class TaskTracker(Client):
    """Reports tasks.

    Each call appends one line to a file and returns: there is no queue to lose, no thread, and nothing to wait for. A helper
    process sends the lines (see `docs/SDK.md`). A task belongs to its id, not to this object: another process can complete,
    a day later, what this one starts.

    Args:
        project_id: The project of the tasks. Default: `CONTEXTCORE_PROJECT`, else what `.contextcore/project` here or above
            says, else `default`.
        otlp_endpoint: Where telemetry goes, e.g. `http://tempo:4317`. Default: `OTEL_EXPORTER_OTLP_ENDPOINT`.
        source: Reserved for the name of the source; operations of one project belong together whatever it is.
        actor: Who does what is reported, e.g. a person or an agent.
        headers: Headers for the endpoint, such as `authorization`. They stay in memory and are never written to a file.
        protocol: `grpc` or `http/protobuf`. Default: what the environment says, else what the endpoint suggests.
        state_dir: Where the spool is. Default: `CONTEXTCORE_STATE_DIR`, else `~/.local/state/contextcore`.
        drain: `auto` starts the helper when it is needed, `off` never.
        strict: Raises `InvalidTask` and `SpoolUnavailable`. By default bad values are clamped or passed on as text, what
            cannot be written is counted in `dropped`, and both are logged.
        project: The former name of `project_id`.
        mode: `online`; `offline` writes the spool and starts nothing; `disabled` does nothing. Default: `CONTEXTCORE_MODE`,
            or `disabled` where `OTEL_SDK_DISABLED` is `true`.
        before_send: Is given each operation as a dict before it is written, and returns it, changed if need be, or None to drop
            it. If it raises, the operation is dropped.
        debug: Logs each line on the logger `contextcore`.
    """

    def __init__(
        self, project_id: "str | None" = None, otlp_endpoint: "str | None" = None, *, source: str = "sdk",
        actor: "str | None" = None, headers: "Mapping[str, str] | None" = None,
        protocol: 'Literal["grpc", "http/protobuf"] | None' = None, state_dir: "str | os.PathLike[str] | None" = None,
        drain: Literal["auto", "off"] = "auto", strict: bool = False, project: "str | None" = None,
        mode: 'Literal["online", "offline", "disabled"] | None' = None, before_send: "BeforeSend | None" = None,
        debug: bool = False,
    ) -> None:  # fmt: skip
        """See the class."""
        super().__init__(
            project_id, otlp_endpoint, actor=actor, headers=headers, protocol=protocol, state_dir=state_dir, drain=drain,
            strict=strict, project=project, mode=mode, before_send=before_send, debug=debug,
        )  # fmt: skip
        self._arguments["source"] = source
        self.source = source
        self._active: dict[str, None] = {}
        self._active_pid = os.getpid()

    def start_task(
        self, task_id: str, title: str, task_type: str = _TASK, status: "str | None" = None, priority: "str | None" = None,
        assignee: "str | None" = None, story_points: "float | None" = None, labels: "Sequence[str] | None" = None,
        parent_id: "str | None" = None, depends_on: "Sequence[str] | None" = None, url: "str | None" = None,
        due_date: "str | date | None" = None, sprint_id: "str | None" = None, at: "datetime | None" = None,
        **attributes: Scalar,
    ) -> Task:  # fmt: skip
        """Creates a task. If it exists, what is given is updated and its creation stays the earliest.

        Args:
            task_id: The id people see, e.g. `PROJ-123`; unique in the project.
            title: What it is about.
            task_type: A `TaskType`. A new task without one is a `task`; an existing one keeps its own.
            status: The status it begins with; on a finished task it reopens it.
            priority: `highest` to `lowest`, or your own word.
            assignee: Who works on it.
            story_points: Its estimate.
            labels: Its labels.
            parent_id: The task above it in the same project.
            depends_on: Tasks that must be done first.
            url: Where people find it.
            due_date: When it is due.
            sprint_id: The sprint it is in.
            at: When it was created, if not now. A time without a zone is local time.
            attributes: Attributes of your own. They become `task.attr.NAME`.

        Returns:
            A handle on the task, which is also a context manager (see `task`).
        """
        given = {
            "title": title, "type": None if task_type is _TASK else task_type, "status": status, "parent": parent_id, "priority": priority,
            "assignee": assignee, "estimate": story_points, "labels": labels, "sprint": sprint_id, "due": due_date,
            "url": url, "depends_on": depends_on, "attributes": attributes or None,
        }  # fmt: skip
        if self._record("task.start", task_id, at, given):
            self._note(task_id, status)
        return Task(self, task_id)

    def update_task(
        self, task_id: str, *, title: "str | _Unset" = UNSET, task_type: "str | _Unset" = UNSET, status: "str | _Unset" = UNSET,
        priority: "str | None | _Unset" = UNSET, assignee: "str | None | _Unset" = UNSET,
        story_points: "float | None | _Unset" = UNSET, labels: "Sequence[str] | None | _Unset" = UNSET,
        parent_id: "str | None | _Unset" = UNSET, depends_on: "Sequence[str] | None | _Unset" = UNSET,
        url: "str | None | _Unset" = UNSET, due_date: "str | date | None | _Unset" = UNSET,
        sprint_id: "str | None | _Unset" = UNSET, at: "datetime | None" = None, **attributes: "Scalar | None",
    ) -> None:  # fmt: skip
        """Changes fields of a task; None clears one. It enters the status that is given."""
        given = {
            "title": title, "type": task_type, "status": status, "parent": parent_id, "priority": priority,
            "assignee": assignee, "estimate": story_points, "labels": labels, "sprint": sprint_id, "due": due_date, "url": url,
            "depends_on": depends_on, "attributes": attributes or UNSET,
        }  # fmt: skip
        changes = {name: value for name, value in given.items() if value is not UNSET}
        if self._record("task.update", task_id, at, changes) and changes.get("status"):
            self._note(task_id, status)

    def update_status(self, task_id: str, new_status: str, *, reason: "str | None" = None, at: "datetime | None" = None) -> None:
        """Moves a task to another status: a `Status`, or any word of your workflow."""
        if self._record("task.status", task_id, at, {"status": new_status, "reason": reason}):
            self._note(task_id, new_status)

    def block_task(
        self, task_id: str, reason: str, blocked_by: "str | None" = None, *, at: "datetime | None" = None
    ) -> None:
        """Says that a task cannot go on, why, and which task it waits for. Its status stays what it is underneath."""
        self._record("task.block", task_id, at, {"reason": reason, "blocked_by": blocked_by})

    def unblock_task(self, task_id: str, new_status: "str | None" = None, *, at: "datetime | None" = None) -> None:
        """Says that a task can go on: in the status it had, or in one that is given."""
        if self._record("task.unblock", task_id, at, {}) and new_status:
            self.update_status(task_id, new_status, at=at)

    def complete_task(self, task_id: str, *, at: "datetime | None" = None) -> None:
        """Finishes a task. The process that started it need not be this one."""
        if self._record("task.complete", task_id, at, {}):
            self._note(task_id, Status.DONE)

    def cancel_task(self, task_id: str, reason: "str | None" = None, *, at: "datetime | None" = None) -> None:
        """Gives a task up."""
        if self._record("task.cancel", task_id, at, {"reason": reason}):
            self._note(task_id, Status.CANCELLED)

    def reopen_task(self, task_id: str, *, at: "datetime | None" = None) -> None:
        """Opens a finished task again."""
        if self._record("task.reopen", task_id, at, {}):
            self._note(task_id, None)

    def assign_task(self, task_id: str, assignee: str, *, at: "datetime | None" = None) -> None:
        """Gives a task to somebody."""
        self._record("task.update", task_id, at, {"assignee": assignee or None})

    def set_progress(self, task_id: str, percent: float, *, at: "datetime | None" = None) -> None:
        """Reports how much of a task is done, 0 to 100. Sub-tasks count more than this where there are any."""
        self._record("task.progress", task_id, at, {"percent": percent})

    def add_comment(self, task_id: str, author: str, text: str, *, at: "datetime | None" = None) -> None:
        """Adds a comment. What of it leaves the service is set by `privacy.comments`."""
        self._record("task.comment", task_id, at, {"text": text, "author": author})

    def add_event(
        self, task_id: str, name: str, attributes: "Mapping[str, Scalar] | None" = None, *, at: "datetime | None" = None
    ) -> None:
        """Records that something happened to a task: a name like `tests.passed` and up to 16 attributes."""
        self._record("task.event", task_id, at, {"name": name, "attributes": attributes})

    def link(self, task_id: str, kind: str, ref: str, url: "str | None" = None) -> None:
        """Connects a task with a `commit`, `pr`, `build`, `deployment`, `trace` or `url`."""
        self._record("task.link", task_id, None, {"kind": kind, "ref": ref, "url": url})

    @overload
    def task(self, task_id: str, title: "str | None" = None, **fields: Any) -> Task: ...
    @overload
    def task(self, task_id: _Function) -> _Function: ...
    def task(self, task_id: Any, title: "str | None" = None, **fields: Any) -> Any:
        """A task for a `with` block, an `async with` block, or a function.

        In progress on entry and done at the end. If the block raises, the task is blocked, with the exception's type as the
        reason, until it is entered again; being cancelled or exiting does not block it. As a decorator without arguments the function's name is the id
        and the first line of its docstring the title.

            with tracker.task("PROJ-7", "Migrate the orders table"):
                migrate()

            @tracker.task
            def nightly_import(): ...

        Args:
            task_id: The id, or the function that is decorated.
            title: What it is about; default: the id.
            fields: The other arguments of `start_task`.
        """
        if callable(task_id):
            name, about = named_after(task_id)
            return Task(self, name, {"title": about})(task_id)
        return Task(self, task_id, {"title": title if title is not None else task_id, **fields})

    @contextmanager
    def current(self, task_id: str) -> "Iterator[None]":
        """Puts the task into OpenTelemetry's baggage and on the current span, if the program uses OpenTelemetry."""
        try:
            from opentelemetry import baggage, context, trace
        except ImportError:
            yield
            return
        span = trace.get_current_span()
        carried = context.get_current()
        for name, value in ((TASK_ID, _encode.plain(task_id)), (PROJECT_ID, self.project_id)):
            span.set_attribute(name, value)
            carried = baggage.set_baggage(name, value, carried)
        token = context.attach(carried)
        try:
            yield
        finally:
            context.detach(token)

    def get_active_tasks(self) -> "list[str]":
        """Ids of the tasks that this process started through this tracker and has not finished."""
        return list(self._own_tasks())

    def _own_tasks(self) -> "dict[str, None]":
        if self._active_pid != os.getpid():
            self._active, self._active_pid = {}, os.getpid()
        return self._active

    def _is_active(self, task_id: object) -> bool:
        return _encode.safely(task_id).strip() in self._own_tasks()

    def _note(self, task_id: object, status: object) -> None:
        """Remembers which tasks are active."""
        key = _encode.safely(task_id).strip()
        if status is not None and _encode.plain(status).strip() in _FINISHED:
            self._own_tasks().pop(key, None)
        else:
            self._own_tasks()[key] = None

    def __enter__(self) -> "TaskTracker":
        """Closes itself at the end of `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the tracker."""
        self.close()

    async def __aenter__(self) -> "TaskTracker":
        """As `with`."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes the tracker. Waiting for the backend happens in a thread, so that the event loop goes on."""
        import asyncio

        await asyncio.get_running_loop().run_in_executor(None, self.close)


class SprintTracker(Client):
    """Reports sprints. Takes the arguments of `TaskTracker`, or a tracker whose project and destination it shares."""

    def __init__(
        self, project_id: "str | TaskTracker | None" = None, otlp_endpoint: "str | None" = None, *,
        tracker: "TaskTracker | None" = None, **options: Any,
    ) -> None:  # fmt: skip
        """See the class."""
        shared = tracker or (project_id if isinstance(project_id, TaskTracker) else None)
        if shared is not None:
            taken = {name: value for name, value in shared._arguments.items() if name != "source"}
            super().__init__(**{**taken, **options})
        else:
            super().__init__(project_id, otlp_endpoint, **options)  # type: ignore[arg-type]

    def start_sprint(
        self, sprint_id: str, name: "str | None" = None, goal: "str | None" = None,
        start_date: "str | date | datetime | None" = None, end_date: "str | date | datetime | None" = None, *,
        at: "datetime | None" = None,
    ) -> None:  # fmt: skip
        """Begins a sprint, with its planned dates."""
        given = {"id": sprint_id, "name": name, "goal": goal, "start": start_date, "end": end_date}
        self._record("sprint.start", None, at, given)

    def end_sprint(
        self, sprint_id: str, name: "str | None" = None, goal: "str | None" = None,
        start_date: "str | date | datetime | None" = None, end_date: "str | date | datetime | None" = None, *,
        at: "datetime | None" = None,
    ) -> None:  # fmt: skip
        """Ends a sprint."""
        given = {"id": sprint_id, "name": name, "goal": goal, "start": start_date, "end": end_date}
        self._record("sprint.end", None, at, given)

    def add_task(self, sprint_id: str, task_id: str, *, at: "datetime | None" = None) -> None:
        """Puts a task into a sprint."""
        self._record("task.update", task_id, at, {"sprint": sprint_id})

    def remove_task(self, task_id: str, *, at: "datetime | None" = None) -> None:
        """Takes a task out of its sprint."""
        self._record("task.update", task_id, at, {"sprint": None})
