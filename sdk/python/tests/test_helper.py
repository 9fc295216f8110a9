"""The helper is found, started when it is needed, asked, and never in the way."""

import json
import os
import sys
import time
from pathlib import Path

import pytest
import spool

from conftest import SOURCE

from contextcore_sdk import _client, _helper, _state

FAKE = Path(__file__).with_name("fake_helper.py")
SNIPPET = """
    from contextcore import TaskTracker
    tracker = TaskTracker(project_id="commerce-platform", otlp_endpoint="http://tempo:4317")
    tracker.start_task(task_id="PROJ-123", title="Implement checkout flow", task_type="story", parent_id="EPIC-42")
    tracker.update_status("PROJ-123", "in_progress")
    tracker.complete_task("PROJ-123")
"""


@pytest.fixture
def binary(tmp_path):
    """A program that is the fake helper, whatever Python the machine's PATH has."""
    path = tmp_path / "contextcore-fake"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def fake(tmp_path, python, binary):
    """Runs a program with the fake helper as the binary."""
    sent, started = tmp_path / "sent", tmp_path / "started"

    def run(program, **environ):
        known = {"CONTEXTCORE_BIN": binary, "CONTEXTCORE_FAKE_SENT": str(sent), "CONTEXTCORE_FAKE_STARTED": str(started), **environ}
        return python(program, **known)

    run.sent = lambda: [json.loads(line) for line in sent.read_text().splitlines()] if sent.exists() else []
    run.started = lambda: [json.loads(line) for line in started.read_text().splitlines()] if started.exists() else []
    yield run
    # A helper ends by itself; the test waits so that nothing outlives it.
    for each in run.started():
        wait_for(lambda each=each: not alive(each["pid"]))


def alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def wait_for(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_without_a_binary_there_is_one_warning_and_everything_is_in_the_spool(python, state):
    done = python(SNIPPET)
    assert done.stderr.count("\n") == 1
    assert "contextcore drain" in done.stderr and "contextcore-bin" in done.stderr
    assert len(spool.operations(state)) == 3


def test_without_an_endpoint_there_is_one_warning(python, state):
    done = python("from contextcore import TaskTracker\nt = TaskTracker('p')\nt.complete_task('T-1')\nt.complete_task('T-2')")
    assert done.stderr.count("\n") == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in done.stderr
    assert len(spool.operations(state)) == 2


def test_the_first_call_starts_the_helper(fake):
    fake(SNIPPET)
    wait_for(lambda: len(fake.sent()) == 3)
    assert [each["op"] for each in fake.sent()] == ["task.start", "task.status", "task.complete"]
    started = fake.started()
    assert len(started) == 1
    assert started[0]["cwd"] == "/"


def test_the_helper_gets_only_what_it_needs_of_the_environment(fake):
    fake(SNIPPET, DATABASE_PASSWORD="hunter2", OTEL_SERVICE_NAME="shop", SSL_CERT_FILE="/ca.pem")
    wait_for(lambda: len(fake.sent()) == 3)
    given = fake.started()[0]["environ"]
    assert "DATABASE_PASSWORD" not in given and "PYTHONPATH" not in given
    assert given["OTEL_SERVICE_NAME"] == "shop" and given["SSL_CERT_FILE"] == "/ca.pem"


def test_a_helper_that_runs_is_not_started_again(fake):
    fake(SNIPPET)
    wait_for(lambda: len(fake.sent()) == 3)
    fake("from contextcore import TaskTracker\nTaskTracker('commerce-platform').complete_task('T-9')")
    wait_for(lambda: len(fake.sent()) == 4)
    assert len(fake.started()) == 1, "the second process found the project's only lane and its helper"
    assert {each["to"] for each in fake.sent()} == {"http://tempo:4317"}


def test_a_helper_that_ended_is_started_by_the_next_call(fake):
    fake("""
        import time
        from contextcore import TaskTracker
        tracker = TaskTracker("p", "http://tempo:4317")
        tracker.complete_task("T-1")
        time.sleep(2.5)
        tracker.complete_task("T-2")
    """, CONTEXTCORE_FAKE_LINGER="0.3")  # fmt: skip
    wait_for(lambda: [each["task"] for each in fake.sent()][-1:] == ["T-2"])
    assert len(fake.started()) == 2


def test_close_is_true_when_the_backend_has_accepted(fake):
    done = fake(SNIPPET + """
    print(tracker.close(timeout=10))
    """)
    assert done.stdout == "True\n"
    assert len(fake.sent()) == 3
    assert done.stderr == ""


def test_close_is_false_and_counts_when_it_has_not(fake, state):
    done = fake(SNIPPET + """
    import time
    began = time.monotonic()
    print(tracker.close(timeout=0.5), time.monotonic() - began < 1.5)
    """, CONTEXTCORE_FAKE_BACKEND="down")  # fmt: skip
    assert done.stdout == "False True\n"
    assert "3 operations" in done.stderr
    assert done.stderr.count("\n") == 1
    assert f"send to tempo: no address; {state}/drain.log has more" in done.stderr
    assert len(spool.operations(state)) == 3


def test_an_endpoint_that_does_not_resolve_costs_the_program_nothing(fake, state):
    done = fake(SNIPPET + """
    import time
    print(time.time())
    """, CONTEXTCORE_FAKE_BACKEND="down")  # fmt: skip
    assert time.time() - float(done.stdout) < 0.6  # with the time that this process needs to notice
    assert done.stderr == ""


def test_the_exit_code_is_the_programs_own(python):
    done = python(SNIPPET + "\n    raise SystemExit(7)", check=False)
    assert done.returncode == 7


def test_two_endpoints_are_two_lanes_with_their_own_headers(fake, state):
    fake("""
        from contextcore import TaskTracker
        one = TaskTracker("p", "http://one:4317", headers={"Authorization": "Bearer s3cr3t-one"})
        two = TaskTracker("p", "http://two:4317", headers={"X-Key": "s3cr3t-two"})
        one.complete_task("T-1")
        two.complete_task("T-2")
        assert one.close(10) and two.close(10)
    """)  # fmt: skip
    assert {(each["task"], each["to"], *each["with"]) for each in fake.sent()} == {
        ("T-1", "http://one:4317", "authorization"), ("T-2", "http://two:4317", "x-key")
    }  # fmt: skip
    for path in state.rglob("*"):
        if path.is_file():
            assert b"s3cr3t" not in path.read_bytes(), path


def test_headers_reach_a_helper_that_runs(fake):
    fake("from contextcore import TaskTracker\nTaskTracker('p', 'http://one:4317').complete_task('T-1')", CONTEXTCORE_FAKE_LINGER="4")
    wait_for(lambda: len(fake.sent()) == 1)
    # That helper has been started without this lane: it is another one's, so a second is needed and gets the headers.
    fake("from contextcore import TaskTracker\nTaskTracker('p', 'http://one:4317', headers={'k': 'v'}).complete_task('T-2')")
    wait_for(lambda: len(fake.sent()) == 2)
    assert fake.sent()[-1]["with"] == ["k"]


def test_ci_waits_for_the_backend(fake):
    fake(SNIPPET, CI="true")
    assert len(fake.sent()) == 3, "everything arrived before the process ended"


def test_the_wait_at_the_end():
    assert _client.exit_wait({}, 1) == 5.0
    assert _client.exit_wait({}, 4711) == 0.0
    assert _client.exit_wait({"CI": "true"}, 4711) == 5.0
    assert _client.exit_wait({"CI": "false"}, 4711) == 0.0
    assert _client.exit_wait({"CI": "true", "CONTEXTCORE_EXIT_WAIT": "0"}, 1) == 0.0
    assert _client.exit_wait({"CONTEXTCORE_EXIT_WAIT": "2.5s"}, 9) == 2.5


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs namespaces of Linux")
def test_the_first_process_of_a_namespace_waits(fake, python, tmp_path, binary):
    import subprocess

    unshare = ["unshare", "--fork", "--pid", "--kill-child"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no process namespace can be made here")
    environ = {"CONTEXTCORE_BIN": binary, "CONTEXTCORE_FAKE_SENT": str(tmp_path / "sent")}
    program = SNIPPET + "\n    import os; assert os.getpid() == 1"
    python(program, interpreter=[*unshare, sys.executable], **environ)
    assert len(fake.sent()) == 3


@pytest.mark.parametrize("environ", [{"CONTEXTCORE_DRAIN": "off"}, {"CONTEXTCORE_MODE": "offline"}])
def test_no_helper_where_none_is_wanted(fake, environ, state):
    fake(SNIPPET, **environ)
    time.sleep(0.3)
    assert fake.started() == []
    assert len(spool.operations(state)) == 3


@pytest.mark.parametrize("environ", [{"CONTEXTCORE_MODE": "disabled"}, {"OTEL_SDK_DISABLED": "true"}])
def test_disabled_writes_nothing(fake, environ, state):
    fake(SNIPPET, **environ)
    assert fake.started() == []
    assert not state.exists()


def test_a_binary_that_cannot_run_is_one_warning(python, state, tmp_path):
    done = python(SNIPPET, CONTEXTCORE_BIN=str(tmp_path / "nothing"))
    assert done.stderr.count("\n") == 1
    assert len(spool.operations(state)) == 3


def test_a_helper_that_works_elsewhere_gets_whole_paths(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    relative = {
        "CONTEXTCORE_CONFIG": "cc.yaml", "CONTEXTCORE_STATE_DIR": "st", "OTEL_EXPORTER_OTLP_CERTIFICATE": "./ca.pem",
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY": "key.pem", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "cert.pem",
    }  # fmt: skip
    given = {**relative, "XDG_STATE_HOME": "xdg", "OTEL_EXPORTER_OTLP_ENDPOINT": "tempo:4317", "SSL_CERT_FILE": ""}
    found = _helper.helper_environment(given, None)
    assert found == {
        **{name: os.path.abspath(value) for name, value in relative.items()},
        "OTEL_EXPORTER_OTLP_ENDPOINT": "tempo:4317", "SSL_CERT_FILE": "",
    }  # fmt: skip
    monkeypatch.setenv("CONTEXTCORE_BIN", "./cc")
    assert _helper.binary() == str(tmp_path / "cc")
    assert list(_state.candidates(None, {"XDG_STATE_HOME": "xdg", "HOME": "/home/a", "TMPDIR": "t"})) == [
        "/home/a/.local/state/contextcore", f"{tmp_path}/t/contextcore-{os.geteuid()}",
    ]  # fmt: skip


def test_path_is_never_searched(python, tmp_path):
    other = tmp_path / "contextcore"
    other.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    other.chmod(0o755)
    done = python(SNIPPET, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert "contextcore-bin" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_programs_of_pytest_start_no_helper(monkeypatch, state, binary):
    from contextcore import TaskTracker

    monkeypatch.setenv("CONTEXTCORE_BIN", binary)
    monkeypatch.setattr(_helper, "start", lambda *_: pytest.fail("a helper was started"))
    tracker = TaskTracker("p", "http://tempo:4317", state_dir=state)
    tracker.complete_task("T-1")
    assert tracker.flush(0.1) is False


def test_a_network_file_system_is_refused(monkeypatch, state, caplog):
    from contextcore import TaskTracker

    monkeypatch.setattr(_helper, "on_network", lambda _: True)
    monkeypatch.setattr(_client, "_may_start", lambda: True)
    monkeypatch.setattr(_helper, "start", lambda *_: pytest.fail("a helper was started"))
    tracker = TaskTracker("p", "http://tempo:4317", state_dir=state)
    tracker.complete_task("T-1")
    assert tracker.dropped == 0
    assert caplog.text.count("network file system") == 1


def test_sockets_with_long_paths(fake, tmp_path, state):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    done = fake(SNIPPET + "\n    print(tracker.close(10))", CONTEXTCORE_STATE_DIR=str(deep / "state"))
    assert done.stdout == "True\n"


def test_questions_go_to_the_socket_and_else_to_the_command(fake, tmp_path, state, monkeypatch):
    done = fake("""
        from contextcore import TaskTracker
        from contextcore.agent import InsightQuerier
        tracker = TaskTracker("p", "http://tempo:4317")
        tracker.complete_task("T-1")
        assert tracker.flush(10)
        found = InsightQuerier("p").get_recent_decisions(path="src/a.py", limit=3)
        print(found[0].id, found[0].raw["query"]["path"], found[0].raw["query"]["type"], len(found))
        readers = (InsightQuerier("p"), InsightQuerier("p", reader="b"))
        print(*(each.query()[0].raw["query"]["reader"] for each in readers))
    """, CONTEXTCORE_FAKE_INSIGHTS="1", CONTEXTCORE_AGENT="a")  # fmt: skip
    assert done.stdout == "ins_1 src/a.py decision 1\na b\n"
    command = tmp_path / "command"
    command.write_text(
        "#!/bin/sh\nprintf '%s ' \"$@\" \"$CONTEXTCORE_AGENT\" > " + str(tmp_path / "args")
        + "\necho '{\"insights\": [{\"id\": \"ins_2\", \"type\": \"lesson\", \"author\": {\"id\": \"a\"}}]}'\n"
    )  # fmt: skip
    command.chmod(0o755)
    from contextcore.agent import InsightQuerier

    monkeypatch.setenv("CONTEXTCORE_BIN", str(command))
    querier = InsightQuerier("q", state_dir=tmp_path / "none", reader="me")
    found = querier.get_lessons(applies_to="src/", min_confidence=0.5)
    assert [(each.id, each.agent_id) for each in found] == [("ins_2", "a")]
    given = (tmp_path / "args").read_text().split()
    assert given[:4] == ["insight", "query", "--output", "json"] and given[-1] == "me"
    assert {"--project=q", "--type=lesson", "--path=src/", "--min-confidence=0.5", "--status=open", "--since=90d"} <= set(given)


@pytest.fixture
def lanes(tmp_path):
    """Two helpers, each with some insights, and what they were asked."""
    import socket
    import threading

    asked, servers = [], []

    def answer(server, insights):
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client, client.makefile("rb") as reader:
                asked.append(json.loads(reader.readline())["query"])
                client.sendall(json.dumps({"ok": True, "insights": insights, "guidance": insights}).encode() + b"\n")

    def start(*of_lanes):
        for number, insights in enumerate(of_lanes):
            lane = tmp_path / "state" / "lanes" / f"{number:016x}"
            lane.mkdir(parents=True)
            here = os.open(lane, os.O_RDONLY)
            server = socket.socket(socket.AF_UNIX)
            server.bind(f"/proc/self/fd/{here}/engine.sock")
            server.listen()
            os.close(here)
            servers.append(server)
            threading.Thread(target=answer, args=(server, insights), daemon=True).start()
        return tmp_path / "state", asked

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def test_the_best_of_all_lanes_come_first_and_each_once(lanes):
    from contextcore.agent import InsightQuerier

    def row(name, score, day):
        return {"id": name, "type": "lesson", "score": score, "updated": f"2026-11-{day}T00:00:00.000Z"}

    same = row("a", 1, "01")
    state, _ = lanes([row("b", 3, "02"), same], [row("c", 9, "01"), row("d", 3, "03"), same])
    querier = InsightQuerier("p", state_dir=state, strict=True)
    assert [each.id for each in querier.query()] == ["c", "d", "b", "a"]
    assert [each.id for each in querier.query(limit=2)] == ["c", "d"]


def test_guidance_of_lanes_keeps_its_order(lanes):
    from contextcore.agent import InsightQuerier

    state, _ = lanes([{"id": "z"}, {"id": "a"}], [{"id": "m"}, {"id": "a"}])
    assert [each["id"] for each in InsightQuerier("p", state_dir=state).get_guidance()] == ["z", "a", "m"]


def test_what_is_asked_for_is_written_as_the_service_reads_it(lanes, monkeypatch):
    import time
    from datetime import date, datetime, timedelta, timezone
    from pathlib import Path

    from contextcore.agent import InsightQuerier

    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    state, asked = lanes([])
    querier = InsightQuerier("p", state_dir=state, strict=True)
    given = {
        "90d": "90d", timedelta(days=2, seconds=1): "2881m", date(2026, 11, 1): "2026-11-01",
        datetime(2026, 11, 1, 12): "2026-11-01T10:00:00Z", datetime(2026, 11, 1, tzinfo=timezone.utc): "2026-11-01T00:00:00Z",
    }  # fmt: skip
    for since, want in given.items():
        querier.query(since=since)
        assert asked[-1]["since"] == want
    querier.get_lessons(applies_to=Path("src") / "a.py")
    querier.get_guidance(Path("src"))
    assert [each["path"] for each in asked[-2:]] == ["src/a.py", "src"]
    monkeypatch.undo()
    time.tzset()


def test_no_question_raises_into_the_program(lanes, caplog):
    from contextcore import ContextCoreError
    from contextcore.agent import InsightQuerier

    class Broken:
        def __str__(self):
            raise RuntimeError("broken")

    state, _ = lanes([])
    querier = InsightQuerier("p", state_dir=state)
    bad = ({"since": Broken()}, {"limit": "many"}, {"limit": [1]}, {"min_confidence": "high"}, {"path": Broken()})
    for asked in bad:
        assert querier.query(**asked) == []
        with pytest.raises(ContextCoreError):
            InsightQuerier("p", state_dir=state, strict=True).query(**asked)
    assert len(caplog.records) == 4, "each message once, whatever was warned of before"


def test_questions_that_nobody_answers(monkeypatch, tmp_path, caplog):
    from contextcore import ContextCoreError
    from contextcore.agent import GuidanceReader, InsightQuerier

    assert InsightQuerier("p", state_dir=tmp_path).get_blockers() == []
    assert InsightQuerier("p", state_dir=tmp_path).get_blockers() == []
    assert len(caplog.records) == 1
    assert GuidanceReader("p", state_dir=tmp_path).get_blocking("src/") == []
    with pytest.raises(ContextCoreError):
        InsightQuerier("p", state_dir=tmp_path, strict=True).query()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make such a place")
def test_a_container_with_a_read_only_root_and_no_home(tmp_path):
    """The first process, nobody, nothing to write but /tmp: everything arrives before the exit."""
    import shutil
    import subprocess

    # What must stay readable lies outside of /tmp, which the program sees as an empty directory.
    place = Path("/var/tmp") / f"contextcore-{tmp_path.name}-{os.getpid()}"
    system = "/usr/bin/python3"
    program = f"""
import os, sys
sys.path.insert(0, "{place}/source")
from contextcore import TaskTracker
assert os.getpid() == 1 and os.getuid() == 65534
tracker = TaskTracker("p", "http://tempo:4317")
tracker.start_task("T-1", "x")
tracker.complete_task("T-1")
assert tracker.dropped == 0
"""
    script = f"""
set -e
mount --make-rprivate /
mount --bind {place}/tmp /tmp
mount -o remount,bind,ro /
exec setpriv --reuid 65534 --regid 65534 --clear-groups {system} {place}/program.py
"""
    try:
        shutil.copytree(SOURCE, place / "source")
        shutil.copy(FAKE, place)
        (place / "tmp").mkdir()
        (place / "tmp").chmod(0o1777)
        (place / "program.py").write_text(program)
        (place / "helper").write_text(f'#!/bin/sh\nexec {system} {place}/fake_helper.py "$@"\n')
        (place / "helper").chmod(0o755)
        environ = {
            "PATH": os.environ["PATH"], "HOME": "/nonexistent", "CONTEXTCORE_BIN": str(place / "helper"),
            "CONTEXTCORE_FAKE_SENT": "/tmp/sent",
        }  # fmt: skip
        command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
        if any(word in done.stderr for word in ("ermission denied", "not permitted", "not found")):
            pytest.skip(f"no such place can be made here: {done.stderr}")
        assert done.returncode == 0, done.stderr
        found = [json.loads(line)["op"] for line in (place / "tmp" / "sent").read_text().splitlines()]
        assert found == ["task.start", "task.complete"]
        assert (place / "tmp" / "contextcore-65534").stat().st_uid == 65534
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_each_helper_gets_the_headers_once_wherever_they_come_from(state):
    import socket
    import threading

    from contextcore_sdk._destination import Destination
    from contextcore_sdk._spool import Spool

    target = Spool(str(state), Destination("http://one:4317", "grpc", {"k": "v"}), "p")
    target.state = str(state)
    os.makedirs(target.path)
    got = []

    def helper():
        here = os.open(target.path, os.O_RDONLY)
        server = socket.socket(socket.AF_UNIX)
        server.bind(f"/proc/self/fd/{here}/engine.sock")
        server.listen()
        with server, server.accept()[0] as connection:
            got.append(json.loads(connection.recv(10_000))["headers"])
            connection.sendall(b'{"ok":true}\n')

    for _ in range(2):
        thread = threading.Thread(target=helper)
        thread.start()
        wait_for(lambda: _helper.deliver_headers(target))
        assert _helper.deliver_headers(target), "this one has them"
        thread.join()
        os.unlink(os.path.join(target.path, "engine.sock"))
    assert got == [{"k": "v"}] * 2
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "other=1"}
    assert _helper.helper_environment(environ, target.destination) == {"OTEL_EXPORTER_OTLP_HEADERS": "k=v"}
