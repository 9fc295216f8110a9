"""What trackers and emitters share: configuration, the way of a call into the spool, flushing, and the end of the process."""

import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

from . import _encode, _helper, _log, _post
from ._destination import NOWHERE, resolve
from ._spool import LINE_BYTES, Spool, all_spools, spool
from ._state import named_project
from .errors import InvalidTask, SpoolUnavailable

Mode = Literal["online", "offline", "disabled"]
Operation = dict[str, Any]
BeforeSend = Callable[[Operation], "Operation | None"]
# Set by `contextcore.testing.memory()`: takes every operation of the process.
recorder: "Callable[[bytes], None] | None" = None
_registered = False
_TRUE = ("1", "true", "yes", "on")


def _mode(given: "str | None") -> Mode:
    named = (given or os.environ.get("CONTEXTCORE_MODE", "")).strip().lower()
    if named in ("offline", "disabled"):
        return "offline" if named == "offline" else "disabled"
    if named not in ("", "online"):
        _log.once(f"mode {named}", f"the mode {named!r} is none of online, offline, disabled; online is used")
    if not given and os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return "disabled"
    return "online"


class Client:
    """The base of everything that writes operations."""

    def __init__(
        self, project_id: "str | None", otlp_endpoint: "str | None", *, actor: "str | None" = None,
        headers: "Mapping[str, str] | None" = None, protocol: "str | None" = None,
        state_dir: "str | os.PathLike[str] | None" = None, drain: str = "auto", strict: bool = False,
        project: "str | None" = None, mode: "str | None" = None, before_send: "BeforeSend | None" = None,
        debug: bool = False,
    ) -> None:  # fmt: skip
        """The arguments of `TaskTracker`."""
        if project is not None:
            warnings.warn("`project` is now `project_id`", DeprecationWarning, stacklevel=3)
        self._arguments: dict[str, Any] = {
            "project_id": project_id or project, "otlp_endpoint": otlp_endpoint, "actor": actor, "headers": headers,
            "protocol": protocol, "state_dir": state_dir, "drain": drain, "strict": strict, "mode": mode,
            "before_send": before_send, "debug": debug,
        }  # fmt: skip
        #: The project that operations belong to.
        self.project_id = _encode.plain(project_id or project or named_project(os.environ) or "").strip() or "default"
        #: Who is named as the author of what is reported.
        self.actor = actor
        #: Calls that could not be written.
        self.dropped = 0
        self._strict = strict
        self._mode = _mode(mode)
        self._before_send = before_send
        self._debug = debug
        self._drain = drain
        if debug:
            _log.enable_debug()
        if protocol is not None and protocol not in ("grpc", "http/protobuf"):
            self._complain(f"the protocol {protocol!r} is neither grpc nor http/protobuf")
        self._destination = resolve(otlp_endpoint, protocol, headers, os.environ)
        if protocol == "grpc" and self._destination is not None and self._destination.protocol == "http/protobuf":
            self._complain("an endpoint with a path is http/protobuf, not grpc")
        self._spool: Spool | None = None
        _at_exit_once()

    def __getstate__(self) -> "dict[str, Any]":
        """A pickled client (for `multiprocessing`) is its arguments; each process writes a file of its own."""
        return self._arguments

    def __setstate__(self, state: "dict[str, Any]") -> None:
        """Made anew in the other process."""
        self.__init__(**state)  # type: ignore[misc]

    # The way of a call.

    def _record(self, op: str, task: object, at: object, given: Operation, actor: object = None) -> bool:
        """Writes one operation. Raises only with `strict`."""
        try:
            return self._written(op, task, at, given, actor)
        except (InvalidTask, SpoolUnavailable) as error:
            self.dropped += 1
            if self._strict:
                raise
            _log.limited("invalid" if isinstance(error, InvalidTask) else "spool", f"a call was dropped: {error}")
        except Exception as error:
            self.dropped += 1
            if self._strict:
                raise InvalidTask(f"{op}: {error}") from error
            _log.limited("invalid", f"a call was dropped: {type(error).__name__}: {error}")
        return False

    def _written(self, op: str, task: object, at: object, given: Operation, actor: object) -> bool:
        if self._mode == "disabled":
            return False
        operation = self._operation(op, task, at, given, actor)
        if self._before_send is not None:
            changed = self._filtered(operation)
            if changed is None:
                return False
            operation = changed
        line = _encode.line(operation)
        if line is None:
            raise InvalidTask(f"{op}: the values are longer than a line of {LINE_BYTES} bytes")
        if self._debug:
            _log.debug("{" + line.decode())
        if recorder is not None:
            recorder(line)
        else:
            self._append(line)
        return True

    def _operation(self, op: str, task: object, at: object, given: Operation, actor: object) -> Operation:
        operation: Operation = {}
        if at is not None:
            operation["at"] = _encode.moment(at, self._complain)
            if operation["at"] is None:
                del operation["at"]
        operation["op"] = op
        if not op.startswith(("sprint.", "insight.")):
            operation["task"] = _encode.word(task, self._complain) if task is not None else None
            if operation["task"] is None:
                raise InvalidTask(f"{op}: the id of the task is empty")
        operation.update(_encode.fields(op, given, self._complain))
        lack = _encode.missing(operation)
        if lack:
            raise InvalidTask(lack)
        who = actor if actor is not None else self.actor
        if who:
            operation["actor"] = _encode.plain(who)
        context = _traceparent()
        if context:
            operation["traceparent"] = context
        return operation

    def _filtered(self, operation: Operation) -> "Operation | None":
        """The operation as `before_send` wants it; None drops it.

        A hook that fails drops it too: it may be there to remove what must not leave.
        """
        assert self._before_send is not None
        changed = self._before_send(operation)
        if changed is not None and not isinstance(changed.get("op"), str):
            raise InvalidTask("before_send returned something that is no operation")
        return changed

    def _append(self, line: bytes) -> None:
        target = self._open()
        target.append(line)
        if target.drains and time.monotonic() >= target.memory.get("look", 0.0) and not target.inside:
            try:
                self._start_helper(target)
            except Exception as error:  # noqa: BLE001 - the line is written; whatever keeps the helper away loses nothing
                _log.limited("helper", f"the helper could not be looked after: {type(error).__name__}: {error}")

    def _open(self) -> Spool:
        if self._spool is None:
            state = self._arguments["state_dir"]
            target = spool(os.fspath(state) if state else None, self._destination, self.project_id)
            target.clients.add(self)
            target.drains |= self._drains()
            self._spool = target
        return self._spool

    def _drains(self) -> bool:
        """Whether this client wants a helper to be started."""
        return self._drain == "auto" and self._mode == "online" and os.environ.get("CONTEXTCORE_DRAIN", "").lower() != "off"

    def _start_helper(self, target: Spool) -> None:
        if target.lane == NOWHERE:
            target.memory["look"] = float("inf")
            _log.once(
                f"nowhere {self.project_id}",
                f"no OTLP endpoint is known for project {self.project_id}, so what is reported stays in {target.path}; set "
                f"OTEL_EXPORTER_OTLP_ENDPOINT, or run `contextcore drain --state {target.state} --endpoint URL`",
            )
        elif _may_start() and not _posts_itself(target):
            _helper.ensure(target)

    def _complain(self, message: str) -> None:
        """A bad value: raised with `strict`, else logged once."""
        if self._strict:
            raise InvalidTask(message)
        _log.once(message, message)

    # The end.

    def flush(self, timeout: float = 5.0) -> bool:
        """Makes everything durable and waits until the backend has accepted it.

        Returns:
            True if the backend has accepted all that this process reported for the project. False if not within `timeout`
            seconds, or if nothing drains the spool; then everything is on disk and is sent later.
        """
        target = self._spool
        if self._mode == "disabled" or recorder is not None or target is None or not target.positions():
            return True
        target.sync()
        accepted = False
        if target.drains and target.lane != NOWHERE and _may_start():
            accepted = self._sent(target, timeout)
        if not accepted:
            why = f": {target.trouble[:500]}; {target.state}/drain.log has more" if target.trouble else ""
            count, project = target.waiting(), self.project_id
            _log.warn(f"{count} operations of project {project} are on disk in {target.path} and not yet accepted{why}")
        return accepted

    def _sent(self, target: Spool, timeout: float) -> bool:
        """Whether the backend has accepted everything in time. Raises only with `strict`."""
        try:
            return _accepted(target, timeout)
        except Exception as error:
            if self._strict:
                raise
            _log.limited("flush", f"the spool {target.path} could not be sent: {type(error).__name__}: {error}")
            return False

    def close(self, timeout: float = 5.0) -> bool:
        """As `flush`, and gives up the file. A later call opens another."""
        accepted = self.flush(timeout)
        if self._spool is not None:
            self._spool.release(self)
            if accepted and _posts_itself(self._spool):
                self._swept(self._spool)
            self._spool = None
        return accepted

    def _swept(self, target: Spool) -> None:
        """Removes what was posted; what cannot be removed now is removed by whoever posts next."""
        try:
            _post.sweep(target)
        except OSError as error:
            _log.limited("sweep", f"what was posted of {target.path} could not be removed: {error.strerror or error}")


def _posts_itself(target: Spool) -> bool:
    """Whether what goes to a service is posted by this process, because there is no helper that could."""
    return _post.posts(target) and _helper.binary() is None


def _accepted(target: Spool, timeout: float) -> bool:
    """Waits until what this process wrote was accepted."""
    if not _posts_itself(target):
        return _helper.flush(target, timeout)
    positions = target.positions()
    done = _helper.may_drain(target) and _post.flush(target, timeout)
    if done:
        target.accepted(positions)
    return done


def _traceparent() -> "str | None":
    """The current span of OpenTelemetry, if the program uses it."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    try:
        found = trace.get_current_span().get_span_context()
        if not found.is_valid:
            return None
        return f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"
    except Exception:  # noqa: BLE001 - another package's state must not lose the operation
        return None


def _may_start() -> bool:
    """Tests never start a helper."""
    return "pytest" not in sys.modules


def _at_exit_once() -> None:
    global _registered
    if not _registered:
        _registered = True
        import atexit

        atexit.register(_at_exit)


def exit_wait(environ: Mapping[str, str], pid: int, alone: bool = False) -> float:
    """How long the end of the process waits for the backend: five seconds where the helper would end with it, or there is none."""
    named = environ.get("CONTEXTCORE_EXIT_WAIT", "").strip()
    if named:
        try:
            return max(float(named.removesuffix("s")), 0.0)
        except ValueError:
            _log.once("exit wait", f"CONTEXTCORE_EXIT_WAIT is {named!r}, which is no number of seconds")
    return 5.0 if alone or pid == 1 or environ.get("CI", "").strip().lower() in _TRUE else 0.0


def _at_exit() -> None:
    """Makes everything durable, sees to it that somebody sends it, and waits only where the helper would not survive."""
    wait = exit_wait(os.environ, os.getpid(), any(map(_posts_itself, all_spools())))
    deadline = time.monotonic() + wait
    for target in all_spools():
        try:
            _finish(target, max(deadline - time.monotonic(), 0.0))
        except Exception as error:  # noqa: BLE001 - the program has its own exit code
            _log.warn(f"{target.path}: {error}")
    _helper.forget_children()


def _finish(target: Spool, wait: float) -> None:
    if not target.positions():
        return
    target.sync()
    if not target.drains or target.lane == NOWHERE or not _may_start():
        return
    if wait > 0:
        _accepted(target, wait)
        return
    if _posts_itself(target):
        return
    _helper.look_now(target)
    _helper.ensure(target)
