"""What users see of the API: errors, modes, hooks, blocks and decorators."""

import asyncio
import concurrent.futures
import json
import logging
import os
import pickle
import warnings
from datetime import date, datetime, timedelta, timezone

import pytest
import spool

import contextcore.testing
from contextcore import InvalidTask, SprintTracker, Status, TaskTracker, TaskType
from contextcore.agent import Evidence, HandoffManager, InsightEmitter


@pytest.fixture
def ops():
    with contextcore.testing.memory() as operations:
        yield operations


def names(operations):
    return [each["op"] for each in operations]


def test_the_former_name_of_the_project_is_deprecated(ops):
    with pytest.warns(DeprecationWarning, match="project_id"):
        tracker = TaskTracker(project="old")
    assert tracker.project_id == "old"
    with pytest.warns(DeprecationWarning):
        assert InsightEmitter(project="old", agent_id="a").project_id == "old"


def test_the_project_comes_from_the_environment(ops, monkeypatch):
    assert TaskTracker().project_id == "default"
    monkeypatch.setenv("CONTEXTCORE_PROJECT", "shop")
    assert TaskTracker().project_id == "shop"


def test_bad_values_are_logged_once_and_never_raise(ops, caplog):
    tracker = TaskTracker("p")
    for _ in range(3):
        tracker.set_progress("T-1", 140)
        tracker.start_task("T-1", "x", task_type="chore")
        tracker.start_task("T-1", "x", story_points="many")
        tracker.start_task("T-1", "x", due_date="soon", at="whenever")
        tracker.add_event("T-1", "Bad Name", {"x": object()})
    assert ops[0]["percent"] == 100
    assert ops[1]["type"] == "chore"
    assert "estimate" not in ops[2]
    assert len({record.getMessage() for record in caplog.records}) == len(caplog.records) == 6
    assert tracker.dropped == 0


class Hostile:
    def __str__(self):
        raise RuntimeError("no text")


def test_nothing_that_is_given_raises(ops, caplog):
    tracker = TaskTracker("p")
    for value in (None, "", 0, 1.5, float("nan"), b"x", [], {}, object(), Hostile(), 10**400, "\ud800", ["x", None, 3]):
        tracker.start_task(value, value, value, value, value, value, value, value, value, value, value, value, value, at=value, own=value)
        tracker.update_status(value, value, reason=value, at=value)
        tracker.block_task(value, value, value)
        tracker.set_progress(value, value)
        tracker.add_comment(value, value, value)
        tracker.add_event(value, value, value)
        tracker.link(value, value, value, value)
        tracker.update_task(value, labels=value, own=value)
        InsightEmitter("p", "a").emit(value, value, value, applies_to=value, context=value, evidence=value, tags=value)
        SprintTracker("p").start_sprint(value, value, value, value, value)
        with tracker.start_task(value, value) as task:
            task.complete()
    assert tracker.dropped > 0


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.set_progress("T-1", 140),
        lambda t: t.start_task("", "x"),
        lambda t: t.start_task("T-1", "x", task_type="chore"),
        lambda t: t.start_task("T-1", "x", story_points=float("nan")),
        lambda t: t.start_task("T-1", "x", due_date="soon"),
        lambda t: t.complete_task("T-1", at="whenever"),
        lambda t: t.link("T-1", "wiki", "x"),
        lambda t: t.add_event("T-1", "No"),
        lambda t: t.complete_task(Hostile()),
    ],
)
def test_strict_raises(ops, call):
    with pytest.raises(InvalidTask):
        call(TaskTracker("p", strict=True))
    assert ops == []


def test_strict_takes_unknown_statuses(ops):
    TaskTracker("p", strict=True).update_status("T-1", "Ready for QA")
    assert ops[0]["status"] == "Ready for QA"


def test_strict_endpoint_with_a_path_needs_http(ops):
    with pytest.raises(InvalidTask):
        TaskTracker("p", "https://gw.example/otlp", protocol="grpc", strict=True)


def test_enums_are_their_values(ops):
    tracker = TaskTracker("p")
    tracker.start_task("T-1", "x", task_type=TaskType.BUG, status=Status.TODO)
    tracker.update_status("T-1", Status.DONE)
    assert (ops[0]["type"], ops[0]["status"], ops[1]["status"]) == ("bug", "todo", "done")
    assert tracker.get_active_tasks() == []


def test_enums_are_those_of_the_registry():
    from contextcore_sdk import _names

    assert tuple(each.value for each in TaskType) == _names.TASK_TYPES
    assert tuple(each.value for each in Status) == _names.STATUSES


def test_times(ops, monkeypatch):
    import time

    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        tracker = TaskTracker("p")
        tracker.complete_task("T-1", at=datetime(2026, 7, 1, 9, 0))
        tracker.complete_task("T-1", at=datetime(2026, 7, 1, 9, 0, tzinfo=timezone(timedelta(hours=2))))
        tracker.complete_task("T-1", at="2026-07-01T09:00:00Z")
        tracker.start_task("T-1", "x", due_date=date(2026, 7, 1))
        tracker.start_task("T-1", "x", due_date=datetime(2026, 7, 1, 23, 0))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [each.get("at") for each in ops[:3]] == ["2026-07-01T13:00:00Z", "2026-07-01T07:00:00Z", "2026-07-01T09:00:00Z"]
    assert [each["due"] for each in ops[3:]] == ["2026-07-01", "2026-07-01"]


def test_before_send_changes_and_drops(ops, caplog):
    def hook(operation):
        if operation["op"] == "task.comment":
            return None
        operation["title"] = "removed"
        return operation

    tracker = TaskTracker("p", before_send=hook)
    tracker.add_comment("T-1", "ada", "secret")
    tracker.start_task("T-1", "secret")
    assert [(each["op"], each["title"]) for each in ops] == [("task.start", "removed")]
    assert tracker.dropped == 0


def test_a_hook_that_fails_drops_the_operation(ops, caplog):
    tracker = TaskTracker("p", before_send=lambda operation: 1 / 0)
    tracker.start_task("T-1", "secret")
    assert ops == [] and tracker.dropped == 1
    assert "ZeroDivisionError" in caplog.text and "secret" not in caplog.text


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
def test_a_hook_that_adds_what_is_no_json_drops_the_operation(ops, value):
    tracker = TaskTracker("p", before_send=lambda operation: {**operation, "title": value})
    tracker.start_task("T-1", "x")
    assert ops == [] and tracker.dropped == 1


def test_a_helper_that_fails_loses_and_counts_nothing(state, monkeypatch, caplog):
    from contextcore_sdk import _client, _helper

    def fail(_):
        raise RuntimeError("unexpected")

    monkeypatch.setattr(_client, "_may_start", lambda: True)
    monkeypatch.setattr(_helper, "ensure", fail)
    tracker = TaskTracker("p", "http://tempo:4317", state_dir=state, strict=True)
    tracker.complete_task("T-1")
    assert tracker.dropped == 0 and len(spool.operations(state)) == 1
    assert "unexpected" in caplog.text


def test_ids_that_are_no_text(ops):
    with TaskTracker("p").task(42, "x"):
        pass
    assert [(each["op"], each["task"]) for each in ops] == [("task.start", "42"), ("task.status", "42"), ("task.complete", "42")]


def test_a_block_that_began_on_a_full_disk_still_ends(ops, monkeypatch):
    from contextcore_sdk import SpoolUnavailable

    tracker = TaskTracker("p")
    append, full = tracker._written, [True, True, False]

    def written(*args):
        if full.pop(0):
            raise SpoolUnavailable("full")
        return append(*args)

    monkeypatch.setattr(tracker, "_written", written)
    with tracker.task("T-1", "x"):
        pass
    assert names(ops) == ["task.complete"] and tracker.get_active_tasks() == []


def test_debug_logs_lines(ops, caplog):
    with caplog.at_level(logging.DEBUG, "contextcore"):
        TaskTracker("p", debug=True).complete_task("T-1")
    assert '"op":"task.complete","task":"T-1"' in caplog.text


def test_a_mode_that_is_none_is_online(ops, caplog, monkeypatch):
    monkeypatch.setenv("CONTEXTCORE_MODE", "sometimes")
    TaskTracker("p").complete_task("T-1")
    assert names(ops) == ["task.complete"]
    assert "sometimes" in caplog.text


def test_a_time_that_no_reader_takes_is_refused(ops):
    latest = datetime(9999, 12, 30, 22, tzinfo=timezone.utc)
    for wrong in (datetime(9999, 12, 31), datetime.max, latest + timedelta(seconds=1)):
        TaskTracker("p").complete_task("T-1", at=wrong)
        assert "at" not in ops[-1]
        with pytest.raises(InvalidTask):
            TaskTracker("p", strict=True).complete_task("T-1", at=wrong)
    TaskTracker("p").complete_task("T-1", at=latest)
    assert ops[-1]["at"] == "9999-12-30T22:00:00Z"
    TaskTracker("p").update_task("T-1", due_date="9999-12-31", title="x")
    assert "due" not in ops[-1]


def test_unblocking_names_no_status_unless_one_is_given(ops):
    import inspect

    assert inspect.signature(TaskTracker.unblock_task).parameters["new_status"].default is None
    task = TaskTracker("p").start_task("T-1", "x")
    task.unblock()
    task.unblock("in_progress")
    assert names(ops) == ["task.start", "task.unblock", "task.unblock", "task.status"]


def test_a_block_starts_and_completes(ops):
    tracker = TaskTracker("p")
    with tracker.task("T-1", "Write", task_type="story", team="core") as task:
        assert tracker.get_active_tasks() == ["T-1"]
        task.set_progress(50)
    assert names(ops) == ["task.start", "task.status", "task.progress", "task.complete"]
    assert ops[0]["attributes"] == {"team": "core"} and ops[1]["status"] == "in_progress"
    assert tracker.get_active_tasks() == []


def test_a_block_that_fails_is_blocked_with_the_type_alone(ops):
    tracker = TaskTracker("p")
    with pytest.raises(ValueError), tracker.task("T-1", "x"):
        raise ValueError("the password is hunter2")
    assert names(ops) == ["task.start", "task.status", "task.status"]
    assert (ops[-1]["status"], ops[-1]["reason"]) == ("blocked", "ValueError")
    assert "hunter2" not in str(ops)


def test_a_task_that_the_block_ended_is_not_blocked_by_what_it_raises_then(ops):
    with pytest.raises(ValueError), TaskTracker("p").task("T-1", "x") as task:
        task.complete()
        raise ValueError
    assert names(ops) == ["task.start", "task.status", "task.complete"]


@pytest.mark.parametrize(
    "error", [SystemExit(0), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), concurrent.futures.CancelledError(), GeneratorExit()]
)
def test_being_stopped_does_not_block(ops, error):
    with pytest.raises(type(error)), TaskTracker("p").task("T-1", "x"):
        raise error
    assert names(ops) == ["task.start", "task.status"]


def test_a_block_that_ended_its_task_does_not_end_it_again(ops):
    tracker = TaskTracker("p")
    with tracker.task("T-1", "x") as task:
        task.cancel("not needed")
    with tracker.task("T-2", "x"):
        tracker.update_status("T-2", "done")
    assert [each["op"] for each in ops if each["task"] == "T-1"][-1] == "task.cancel"
    assert [each["op"] for each in ops if each["task"] == "T-2"][-1] == "task.status"


def test_the_result_of_a_start_is_a_block_too(ops):
    with TaskTracker("p").start_task("T-1", "x"):
        pass
    assert names(ops) == ["task.start", "task.status", "task.complete"]


def test_functions(ops):
    tracker = TaskTracker("p")

    @tracker.task
    def nightly(a, b=2):
        """Import the orders.

        More.
        """
        return a + b

    @tracker.task("T-2", "Named")
    def named():
        return "named"

    assert nightly(1, b=3) == 4 and nightly.__name__ == "nightly" and named() == "named"
    assert [(each["task"], each["title"]) for each in ops if each["op"] == "task.start"] == [
        ("nightly", "Import the orders."), ("T-2", "Named")
    ]  # fmt: skip
    with pytest.raises(ZeroDivisionError):
        tracker.task(lambda: 1 / 0)()
    assert ops[-1]["reason"] == "ZeroDivisionError"


def test_functions_of_other_kinds(ops):
    tracker = TaskTracker("p")

    @tracker.task
    async def coroutine():
        assert tracker.get_active_tasks() == ["coroutine"]
        return 1

    @tracker.task
    def generator():
        got = yield 1
        yield got

    @tracker.task
    async def stream():
        yield 1
        yield 2

    async def main():
        return await coroutine(), [each async for each in stream()]

    assert asyncio.run(main()) == (1, [1, 2])
    running = generator()
    assert (next(running), running.send("sent"), list(running)) == (1, "sent", [])
    assert [each["task"] for each in ops if each["op"] == "task.complete"] == ["coroutine", "stream", "generator"]


def test_trackers_are_blocks(state):
    async def main():
        async with TaskTracker("p", state_dir=state) as tracker:
            tracker.complete_task("T-2")

    with TaskTracker("p", state_dir=state) as tracker:
        tracker.complete_task("T-1")
    asyncio.run(main())
    assert [each["task"] for each in spool.operations(state)] == ["T-1", "T-2"]
    assert all(spool.is_dead(path) for path in spool.segments(state)), "closing gives the files up"


def test_calls_after_close_are_written(state):
    tracker = TaskTracker("p", state_dir=state, drain="off")
    tracker.complete_task("T-1")
    assert tracker.close() is False
    tracker.complete_task("T-2")
    assert [each["task"] for each in spool.operations(state)] == ["T-1", "T-2"]


def test_trackers_of_one_project_share_a_file(state):
    first, second = TaskTracker("p", state_dir=state), InsightEmitter("p", "a", state_dir=state)
    first.complete_task("T-1")
    second.emit_progress("half")
    first.close()
    second.emit_progress("done")
    assert len(spool.segments(state)) == 1


def test_a_tracker_can_be_pickled(state):
    tracker = pickle.loads(pickle.dumps(TaskTracker("p", "http://tempo:4317", state_dir=state, headers={"k": "v"}, actor="ada")))
    assert (tracker.project_id, tracker.actor, tracker._destination.headers) == ("p", "ada", {"k": "v"})
    emitter = pickle.loads(pickle.dumps(InsightEmitter("p", "a", session_id="s")))
    assert (emitter.agent_id, emitter.session_id) == ("a", "s")


def test_a_sprint_tracker_shares_the_destination(ops):
    sprints = SprintTracker(TaskTracker("p", "http://tempo:4317"))
    sprints.start_sprint("S-1", "Sprint 1", start_date=date(2026, 11, 23))
    assert sprints.project_id == "p" and sprints._destination.endpoint == "http://tempo:4317"
    assert ops[0]["start"] == "2026-11-23"
    sprints.end_sprint("")
    assert len(ops) == 1 and sprints.dropped == 1


def test_the_ids_of_what_is_said_once(ops):
    emitter = InsightEmitter("p", "a")
    one = emitter.emit_decision("Use  Kafka", 0.9, applies_to="src/a.py")
    two = emitter.emit_decision("use kafka", 0.2, context={"file": "src/a.py"})
    assert one.id == two.id == ops[0]["id"] == ops[1]["id"]
    assert emitter.emit_question("Which?").id != emitter.emit_question("Which?").id
    assert emitter.emit_question("Which?", key="q").id == emitter.emit_question("What?", key="q").id
    assert one.status == "active" and one.applies_to == ["src/a.py"]


def test_handoffs(ops, monkeypatch):
    manager = HandoffManager("p", "writer")
    offered = manager.offer("reviewer", "Review", task_id="T-1", remaining=["tests"])
    manager.accept(offered.id)
    assert [each["op"] for each in ops] == ["insight.emit", "insight.update"]
    assert ops[0]["to"] == "reviewer" and ops[1]["id"] == offered.id and offered.status == "offered"
    monkeypatch.setattr(manager._querier._source, "insights", lambda _: [{"id": "1", "to": "writer"}, {"id": "2", "to": "x"}])
    assert [each.id for each in manager.get_pending()] == ["1"]


def test_evidence(ops):
    InsightEmitter("p", "a").emit_discovery("x", evidence=[Evidence("commit", "9fceb02"), {"kind": "adr", "ref": "d"}, {"kind": "x"}])
    assert ops[0]["evidence"] == [{"kind": "commit", "ref": "9fceb02"}, {"kind": "adr", "ref": "d"}]


def test_memory_takes_everything_and_gives_it_back(state, monkeypatch):
    monkeypatch.setenv("CONTEXTCORE_STATE_DIR", str(state))
    tracker = TaskTracker("p")
    with contextcore.testing.memory() as operations:
        tracker.complete_task("T-1")
        assert tracker.close() is True
    assert [(each["seq"], each["op"]) for each in operations] == [(1, "task.complete")]
    assert not state.exists()
    tracker.complete_task("T-2")
    assert len(spool.operations(state)) == 1


def test_opentelemetry(ops):
    trace = pytest.importorskip("opentelemetry.trace")
    from opentelemetry import baggage
    from opentelemetry.sdk.trace import TracerProvider

    tracker = TaskTracker("p")
    with TracerProvider().get_tracer("test").start_as_current_span("work") as span:
        tracker.complete_task("T-1")
        with tracker.current("T-1"):
            assert baggage.get_baggage("task.id") == "T-1" and baggage.get_baggage("project.id") == "p"
        assert span.attributes == {"task.id": "T-1", "project.id": "p"}
        context = span.get_span_context()
    assert baggage.get_baggage("task.id") is None
    assert ops[0]["traceparent"] == f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    tracker.complete_task("T-2")
    assert "traceparent" not in ops[1]
    assert trace is not None


def test_nothing_happens_before_the_first_call(state, monkeypatch):
    monkeypatch.setenv("CONTEXTCORE_STATE_DIR", str(state))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tracker = TaskTracker("p", "http://tempo:4317")
        assert tracker.flush() is True and tracker.close() is True
    assert not state.exists() and os.environ["CONTEXTCORE_STATE_DIR"]


def test_the_nearest_file_names_the_project(monkeypatch, tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / ".contextcore").mkdir()
    (tmp_path / ".contextcore" / "project").write_text("# ours\n\n commerce platform \nother\n")
    monkeypatch.delenv("CONTEXTCORE_PROJECT", raising=False)
    monkeypatch.chdir(deep)
    assert TaskTracker().project_id == "commerce platform"
    assert TaskTracker("given").project_id == "given"
    monkeypatch.setenv("CONTEXTCORE_PROJECT", "shop")
    assert TaskTracker().project_id == "shop"
    monkeypatch.delenv("CONTEXTCORE_PROJECT")
    (tmp_path / ".contextcore" / "project").write_bytes(b"\xff\xfe")
    assert TaskTracker().project_id == "default", "a file that cannot be read names none"


def test_the_first_line_of_a_file_says_what_the_process_says_of_itself(state, monkeypatch):
    with TaskTracker("p", state_dir=state) as tracker:
        tracker.complete_task("T-1")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=commerce,service.name=other")
    with TaskTracker("q", state_dir=state) as tracker:
        tracker.complete_task("T-1")
    first = {head["project"]: head for head in (json.loads(path.read_text().split("\n")[0]) for path in spool.segments(state))}
    assert "resource" not in first["p"]
    assert first["q"]["resource"] == {"service.name": "shop", "service.namespace": "commerce"}
