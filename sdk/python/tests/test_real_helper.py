"""From the call to the backend with the real binary: what is reported arrives as spans, and nothing is left running.

Runs where `target/debug/contextcore` (or the binary that `CONTEXTCORE_TEST_BIN` names) knows `drain`.
"""

import gzip
import http.server
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
import spool

BINARY = os.environ.get("CONTEXTCORE_TEST_BIN") or str(Path(__file__).parents[3] / "target" / "debug" / "contextcore")


def knows_drain():
    try:
        return subprocess.run([BINARY, "drain", "--help"], capture_output=True, timeout=60).returncode == 0
    except OSError:
        return False


pytestmark = [pytest.mark.skipif(not knows_drain(), reason="no binary with `drain`"), pytest.mark.xdist_group("real")]


class Backend(http.server.ThreadingHTTPServer):
    """Takes OTLP over HTTP and keeps the bytes by path; `down` answers 503, `traces_only` knows nothing else."""

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.got, self.headers, self.down, self.traces_only = {}, [], False, False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def count(self, text, path="/v1/traces"):
        return b"".join(self.got.get(path, [])).count(text.encode())


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        data = self.rfile.read(int(self.headers["content-length"]))
        code = 503 if self.server.down else 404 if self.server.traces_only and self.path != "/v1/traces" else 200
        if code == 200:
            self.server.got.setdefault(self.path, []).append(
                gzip.decompress(data) if self.headers.get("content-encoding") == "gzip" else data
            )
            self.server.headers.append(dict(self.headers.items()))
        self.send_response(code)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def backend():
    with Backend() as server:
        yield server
        server.shutdown()


@pytest.fixture
def real(python, state, tmp_path):
    """Runs a program with the real helper, whose linger is short so that the test can wait for its end."""
    wrapper = tmp_path / "contextcore-real"
    wrapper.write_text(f'#!/bin/sh\nexec "{BINARY}" "$@" --linger 1s\n')
    wrapper.chmod(0o755)

    def run(program, **environ):
        return python(program, CONTEXTCORE_BIN=str(wrapper), OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf", **environ)

    yield run
    wait_for(lambda: not running(state), 60)


def running(state):
    """Processes that hold a lane of this state directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(state).encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


PROGRAM = """
    from contextcore import TaskTracker
    tracker = TaskTracker(project_id="commerce-platform", otlp_endpoint="{url}")
    tracker.start_task(task_id="PROJ-123", title="Implement checkout flow", task_type="story", parent_id="EPIC-42")
    tracker.update_status("PROJ-123", "in_progress")
    tracker.complete_task("PROJ-123")
"""


def test_the_snippet_arrives_and_nothing_is_left(real, backend, state):
    began = time.monotonic()
    done = real(PROGRAM.format(url=backend.url))
    assert done.stderr == ""
    wait_for(lambda: backend.count("Implement checkout flow"))
    assert time.monotonic() - began < 30
    wait_for(lambda: not running(state), 60)
    assert backend.count("PROJ-123", "/v1/logs")


def test_close_is_true_when_everything_is_accepted(real, backend):
    done = real(PROGRAM.format(url=backend.url) + "\n    print(tracker.close(30))")
    assert done.stdout == "True\n"
    assert backend.count("Implement checkout flow")


def test_two_processes_make_one_final_span(real, backend):
    real(f"""
        from datetime import datetime, timezone
        from contextcore import TaskTracker
        tracker = TaskTracker("p", "{backend.url}")
        tracker.start_task("T-1", "Long work", task_type="story", at=datetime(2026, 11, 1, 9, tzinfo=timezone.utc))
        print(tracker.close(30))
    """)
    done = real(f"from contextcore import TaskTracker\nt = TaskTracker('p', '{backend.url}')\nt.complete_task('T-1')\nprint(t.close(30))")
    assert done.stdout == "True\n"
    assert backend.count("Long work")


def test_a_helper_that_begins_anew_knows_the_task(real, backend, state):
    real(f"""
        from contextcore import TaskTracker
        tracker = TaskTracker("p", "{backend.url}")
        tracker.start_task("T-1", "Long work", task_type="story", parent_id="EPIC-42", at="2026-11-01T09:00:00Z")
        assert tracker.close(30)
    """)
    wait_for(lambda: not running(state), 60)
    for path in state.rglob("*.done"):
        path.unlink()
    assert spool.segments(state) == [], "what was taken is marked"
    backend.got.clear()
    done = real(f"from contextcore import TaskTracker\nt = TaskTracker('p', '{backend.url}')\nt.complete_task('T-1')\nprint(t.close(30))")
    assert done.stdout == "True\n"
    assert backend.count("Long work") and backend.count("EPIC-42") and backend.count("story")


def test_two_writers_of_one_task_at_once(real, backend):
    real(f"""
        import os
        from contextcore import TaskTracker
        tracker = TaskTracker("p", "{backend.url}")
        tracker.start_task("T-1", "Shared work")
        pid = os.fork()
        for n in range(50):
            tracker.add_event("T-1", "from.child" if pid == 0 else "from.parent")
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        tracker.complete_task("T-1")
        assert tracker.close(30)
    """)
    wait_for(lambda: backend.count("from.child", "/v1/logs") >= 50)
    assert backend.count("from.parent", "/v1/logs") >= 50


def test_a_backend_that_is_down_gets_everything_later(real, backend, state):
    backend.down = True
    done = real(PROGRAM.format(url=backend.url) + "\n    print(tracker.close(0.5))")
    assert done.stdout == "False\n"
    wait_for(lambda: not running(state), 60)
    backend.down = False
    real(f"from contextcore import TaskTracker\nt = TaskTracker('commerce-platform', '{backend.url}')\nt.add_event('PROJ-123', 'later')\nassert t.close(60)")
    assert backend.count("Implement checkout flow")


def test_headers_reach_the_backend_and_no_file(real, backend, state):
    done = real(f"""
        from contextcore import TaskTracker
        tracker = TaskTracker("p", "{backend.url}", headers={{"Authorization": "Bearer s3cr3t"}})
        tracker.start_task("T-1", "Secret work")
        tracker.complete_task("T-1")
        print(tracker.close(30))
    """)
    assert done.stdout == "True\n"
    assert {each.get("authorization") for each in backend.headers} == {"Bearer s3cr3t"}
    wait_for(lambda: not running(state), 60)
    for path in state.rglob("*"):
        if path.is_file():
            assert b"s3cr3t" not in path.read_bytes(), path


def test_a_backend_for_traces_alone(real, backend):
    backend.traces_only = True
    done = real(PROGRAM.format(url=backend.url) + "\n    print(tracker.close(30))")
    assert done.stdout == "True\n"
    assert list(backend.got) == ["/v1/traces"]
