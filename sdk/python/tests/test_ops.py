"""Lines that are posted to `/v1/ops` of a service: a fake of it that obeys the contract."""

import http.server
import json
import threading
import time

import pytest
import spool

PROGRAM = """
    from contextcore import TaskTracker
    tracker = TaskTracker("p", "{url}", headers={{"Authorization": "Bearer s3cr3t"}})
    for n in range({count}):
        tracker.start_task(f"T-{{n}}", "x" * {size})
"""


class Service(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.taken, self.sizes, self.answers = {}, [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http+ops://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        assert self.path == "/v1/ops"
        body = self.rfile.read(int(self.headers["content-length"]))
        status = self.server.answers.pop(0) if self.server.answers else 200
        if self.headers.get("authorization") != "Bearer s3cr3t":
            status = 401
        if status == 200:
            self.server.sizes.append(len(body))
            self.take(body)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b'{"acked":{},"rejected":[]}' if status == 200 else b"no\n")

    def take(self, body):
        sent, *lines = [json.loads(line) for line in body.splitlines()]
        assert sent["v"] == 1 and sent["sent"]
        for line in lines:
            if "writer" in line:
                writer = (line["project"], line["writer"])
            else:
                self.server.taken[(*writer, line["seq"])] = line["task"]

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    with Service() as server:
        yield server
        server.shutdown()


def test_everything_is_posted_once_and_removed(python, service, state):
    done = python(PROGRAM.format(url=service.url, count=100, size=10) + "\n    print(tracker.close(10))")
    assert done.stdout == "True\n" and done.stderr == ""
    assert sorted(service.taken.values()) == sorted(f"T-{n}" for n in range(100))
    assert {project for project, *_ in service.taken} == {"p"}
    assert all(b"s3cr3t" not in path.read_bytes() for path in state.rglob("*") if path.is_file())
    # The next process removes what the first one left.
    python(PROGRAM.format(url=service.url, count=1, size=10) + "\n    assert tracker.close(10)")
    assert len(spool.segments(state)) <= 1


def test_bodies_are_small_enough_and_halved(python, service):
    service.answers = [413, 200]
    assert python(PROGRAM.format(url=service.url, count=60, size=50_000) + "\n    print(tracker.close(20))").stdout == "True\n"
    assert len(service.taken) == 60
    assert max(service.sizes) < 1024 * 1024 and len(service.sizes) >= 4


def test_a_service_that_is_busy_gets_it_later(python, service):
    service.answers = [503, 429]
    assert python(PROGRAM.format(url=service.url, count=3, size=10) + "\n    print(tracker.close(20))").stdout == "True\n"
    assert len(service.taken) == 3


def test_a_token_that_is_refused_stops_at_once(python, service, state):
    service.answers = [403] * 9
    began = time.monotonic()
    done = python(PROGRAM.format(url=service.url, count=3, size=10) + "\n    print(tracker.close(20))")
    assert done.stdout == "False\n" and time.monotonic() - began < 10
    assert "HTTP 403" in done.stderr and len(service.answers) == 8
    assert len(spool.operations(state)) == 3


def test_nobody_there_costs_nothing_and_a_later_process_posts_it(python, service, state):
    program = PROGRAM.format(url="http+ops://127.0.0.1:1", count=3, size=10)
    done = python(program + "\n    import time\n    print(time.time())")
    assert time.time() - float(done.stdout) < 1.0
    assert len(spool.operations(state)) == 3
    first = python(PROGRAM.format(url=service.url, count=2, size=10))
    assert first.returncode == 0
    python(PROGRAM.format(url=service.url, count=1, size=10) + "\n    assert tracker.close(10)")
    assert len(service.taken) == 3


def test_a_child_posts_its_own(python, service):
    done = python(PROGRAM.format(url=service.url, count=2, size=10) + """
    import os
    pid = os.fork()
    tracker.complete_task("child" if pid == 0 else "parent")
    assert tracker.close(10)
    if pid == 0:
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    """)  # fmt: skip
    assert done.returncode == 0
    assert sorted(service.taken.values()) == ["T-0", "T-1", "child", "parent"]
