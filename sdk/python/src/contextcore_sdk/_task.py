"""The handle on one task: a context manager for blocks, and a decorator for functions of every kind."""

import functools
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from .tracker import Scalar, TaskTracker

_Function = TypeVar("_Function", bound=Any)
# Flags of a function's code (the module `inspect` is slow to import).
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


def named_after(function: Any) -> "tuple[str, str]":
    """The id and the title of a task that is a function."""
    name = str(getattr(function, "__name__", type(function).__name__))
    about = str(getattr(function, "__doc__", None) or "").strip()
    return name, about.splitlines()[0].strip() if about else name


def _is_cancellation(error: BaseException) -> bool:
    """Whether the block was asked to stop, which is no impediment of the task."""
    return not isinstance(error, Exception) or type(error).__name__ in ("CancelledError", "Cancelled")


class Task:
    """A task of a tracker: the same calls without the id, and a context manager (see `TaskTracker.task`)."""

    __slots__ = ("_fields", "_pid", "_tracker", "id")

    def __init__(self, tracker: "TaskTracker", task_id: str, fields: "dict[str, Any] | None" = None) -> None:
        """``fields``: the arguments with which the block starts the task; None if it has been started."""
        self._tracker = tracker
        self._fields = fields
        self._pid = 0
        #: The id of the task.
        self.id = task_id

    def __repr__(self) -> str:
        """The project and the id."""
        return f"Task({self._tracker.project_id!r}, {self.id!r})"

    def update_status(self, new_status: str, *, reason: "str | None" = None, at: "datetime | None" = None) -> None:
        """See `TaskTracker.update_status`."""
        self._tracker.update_status(self.id, new_status, reason=reason, at=at)

    def block(self, reason: str, blocked_by: "str | None" = None, *, at: "datetime | None" = None) -> None:
        """See `TaskTracker.block_task`."""
        self._tracker.block_task(self.id, reason, blocked_by, at=at)

    def unblock(self, new_status: "str | None" = None, *, at: "datetime | None" = None) -> None:
        """See `TaskTracker.unblock_task`."""
        self._tracker.unblock_task(self.id, new_status, at=at)

    def complete(self, *, at: "datetime | None" = None) -> None:
        """See `TaskTracker.complete_task`."""
        self._tracker.complete_task(self.id, at=at)

    def cancel(self, reason: "str | None" = None, *, at: "datetime | None" = None) -> None:
        """See `TaskTracker.cancel_task`."""
        self._tracker.cancel_task(self.id, reason, at=at)

    def reopen(self, *, at: "datetime | None" = None) -> None:
        """See `TaskTracker.reopen_task`."""
        self._tracker.reopen_task(self.id, at=at)

    def assign(self, assignee: str, *, at: "datetime | None" = None) -> None:
        """See `TaskTracker.assign_task`."""
        self._tracker.assign_task(self.id, assignee, at=at)

    def set_progress(self, percent: float, *, at: "datetime | None" = None) -> None:
        """See `TaskTracker.set_progress`."""
        self._tracker.set_progress(self.id, percent, at=at)

    def add_comment(self, author: str, text: str, *, at: "datetime | None" = None) -> None:
        """See `TaskTracker.add_comment`."""
        self._tracker.add_comment(self.id, author, text, at=at)

    def add_event(
        self, name: str, attributes: "Mapping[str, Scalar] | None" = None, *, at: "datetime | None" = None
    ) -> None:
        """See `TaskTracker.add_event`."""
        self._tracker.add_event(self.id, name, attributes, at=at)

    def link(self, kind: str, ref: str, url: "str | None" = None) -> None:
        """See `TaskTracker.link`."""
        self._tracker.link(self.id, kind, ref, url)

    def __enter__(self) -> "Task":
        """Starts the task, if that has not happened, and moves it to in progress."""
        self._pid = os.getpid()
        if self._fields is not None:
            self._tracker.start_task(self.id, **self._fields)
        self._tracker.update_status(self.id, "in_progress")
        # Also if nothing could be written: the end of the block may be written all the same.
        self._tracker._note(self.id, None)
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        """Completes the task, or blocks it if the block raised: as a status, which the next entry ends."""
        # A child that was forked inside the block also leaves it; the task ends once, where it was begun.
        if self._pid != os.getpid():
            return
        if not self._tracker._is_active(self.id):
            # The block itself has completed or cancelled it.
            return
        if error is None:
            self._tracker.complete_task(self.id)
            self._tracker._note(self.id, "done")
        elif not _is_cancellation(error):
            self._tracker.update_status(self.id, "blocked", reason=type(error).__name__)

    async def __aenter__(self) -> "Task":
        """As `with`."""
        return self.__enter__()

    async def __aexit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        """As `with`."""
        self.__exit__(kind, error, trace)

    def __call__(self, function: _Function) -> _Function:
        """Decorates a function: each call of it is the block."""
        code = getattr(function, "__code__", None)
        flags = code.co_flags if code is not None else 0
        kinds = ((_COROUTINE, self._coroutine), (_ASYNC_GENERATOR, self._async_generator), (_GENERATOR, self._generator))
        wrap = next((wrap for flag, wrap in kinds if flags & flag), self._function)
        return cast("_Function", functools.wraps(function)(wrap(function)))

    def _function(self, function: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return wrapped

    def _generator(self, function: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return (yield from function(*args, **kwargs))

        return wrapped

    def _coroutine(self, function: Any) -> Any:
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            async with self._again():
                return await function(*args, **kwargs)

        return wrapped

    def _async_generator(self, function: Any) -> Any:
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            async with self._again():
                async for each in function(*args, **kwargs):
                    yield each

        return wrapped

    def _again(self) -> "Task":
        """A handle of its own for each call, because calls may overlap."""
        return Task(self._tracker, self.id, self._fields)
