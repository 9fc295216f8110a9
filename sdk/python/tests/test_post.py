"""Where neither a disk is shared nor the binary is there, the SDK posts its lines to a service: a fake, and the real one."""

import http.server
import json
import os
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import spool
from contextcore_sdk import _post
from contextcore_sdk._destination import Destination

BINARY = os.environ.get("CONTEXTCORE_TEST_BIN") or str(Path(__file__).parents[3] / "target" / "debug" / "contextcore")


class Service(http.server.ThreadingHTTPServer):
    """Takes operations as `serve` does, and says what the test wants first."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.bodies, self.headers, self.forbidden = [], [], [], set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http+ops://127.0.0.1:{self.server_port}/v1/ops"

    def taken(self):
        """Operations by writer and number: what came twice counts once."""
        found, repeated = {}, 0
        for body in self.bodies:
            writer = None
            for line in body.decode().splitlines()[1:]:
                each = json.loads(line)
                if "writer" in each:
                    writer = each["writer"]
                else:
                    repeated += (writer, each["seq"]) in found
                    found[writer, each["seq"]] = each
        return found, repeated


def acknowledged(body, forbidden=()):
    """As the service says what it has stored."""
    acked, rejected, header = {}, [], {}
    for line in body.decode().splitlines()[1:]:
        each = json.loads(line)
        if "writer" in each:
            header = each
        elif header["project"] in forbidden:
            refusal = {"writer": header["writer"], "seq": each["seq"], "reason": "the token may not report for this project"}
            rejected.append(refusal)
        else:
            acked[header["writer"]] = max(each["seq"], acked.get(header["writer"], 0))
    return {"acked": acked, "rejected": rejected}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        code, more = self.server.answers.pop(0) if self.server.answers else (200, {})
        if code == "limit":
            code = 413 if len(body) > more else 200
            self.server.answers.insert(0, ("limit", more))
            more = {}
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        answer = b"refused"
        if code == 200 and isinstance(more, bytes):
            answer, more = more, {}
        elif code == 200:
            self.server.bodies.append(body)
            answer = json.dumps(acknowledged(body, self.server.forbidden)).encode()
        self.send_response(code)
        for name, value in more.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    with Service() as server:
        yield server
        server.shutdown()


def program(url, calls, end="print(tracker.close(5))"):
    return f"""
from contextcore import TaskTracker
tracker = TaskTracker("shop", "{url}", headers={{"authorization": "Bearer s3cret"}})
{calls}
{end}
"""


def test_close_posts_what_was_written_and_removes_it(python, service, state):
    done = python(program(service.url, "tracker.start_task('T-1', 'Checkout')\ntracker.complete_task('T-1')"))
    assert (done.stdout, done.stderr) == ("True\n", "")
    found, repeated = service.taken()
    assert [each["op"] for each in found.values()] == ["task.start", "task.complete"] and repeated == 0
    assert json.loads(service.bodies[0].splitlines()[1])["project"] == "shop"
    assert service.headers[0]["authorization"] == "Bearer s3cret"
    assert spool.segments(state) == [], "what was taken is removed"
    assert all(b"s3cret" not in path.read_bytes() for path in state.rglob("*") if path.is_file())


def test_a_program_that_ends_without_close_posts_at_its_end(python, service):
    python(program(service.url, "tracker.complete_task('T-1')", end=""))
    assert len(service.taken()[0]) == 1


def test_flush_posts_only_what_is_new(python, service):
    calls = "for n in range(3):\n    tracker.complete_task(f'T-{n}')\n    print(tracker.flush(5))"
    assert python(program(service.url, calls)).stdout == "True\n" * 4
    found, repeated = service.taken()
    assert (len(found), repeated) == (3, 0)


def test_a_service_that_is_down_gets_everything_later(python, service, state):
    service.answers = [(503, {})] * 50
    done = python(program(service.url, "tracker.complete_task('T-1')", end="print(tracker.close(0.5))"))
    assert done.stdout == "False\n" and "on disk" in done.stderr
    service.answers = []
    assert python(program(service.url, "tracker.complete_task('T-2')")).stdout == "True\n"
    found, repeated = service.taken()
    assert ({each["task"] for each in found.values()}, repeated) == ({"T-1", "T-2"}, 0)
    assert spool.segments(state) == []


def test_an_address_that_answers_nothing_costs_the_wait_and_no_more(python, state):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http+ops://127.0.0.1:{free.getsockname()[1]}/v1/ops"
    began = time.monotonic()
    done = python(program(url, "tracker.complete_task('T-1')", end=""), CONTEXTCORE_EXIT_WAIT="0.5")
    assert done.returncode == 0 and time.monotonic() - began < 5
    assert len(spool.operations(state)) == 1


def test_a_token_that_is_refused_is_not_tried_again(python, service, state):
    service.answers = [(401, {})] * 50
    began = time.monotonic()
    done = python(program(service.url, "tracker.complete_task('T-1')", end="print(tracker.close(20))"))
    assert done.stdout == "False\n" and "HTTP 401" in done.stderr and time.monotonic() - began < 10
    assert len(spool.operations(state)) == 1


FOREIGN = ["", "{}", "<html>", '"ok"', '{"acked":{}}', "[]", "null", '{"acked":{"0":9}}', '{"acked":{"0":true}}', '{"acked":[1]}']


@pytest.mark.parametrize("answer", FOREIGN)
def test_another_answer_settles_no_line(answer):
    line = _post._Line(b'{"project":"p"}', b'{"op":"x","seq":1}', "W", 1, {})
    with pytest.raises(_post._Refused):
        _post._settle(answer.encode(), [line], Destination("http+ops://s", "ops", {}))
    assert not line.settled and not line.withheld


@pytest.mark.parametrize("answer", ["", "<html>"])
def test_an_answer_that_acknowledges_nothing_settles_nothing(python, service, state, answer):
    service.answers = [(200, answer.encode())] * 50
    done = python(program(service.url, "tracker.complete_task('T-1')", end="print(tracker.close(1))"))
    assert done.stdout == "False\n" and "not ContextCore's /v1/ops" in done.stderr
    assert len(spool.operations(state)) == 1
    service.answers = []
    assert python(program(service.url, "tracker.complete_task('T-2')")).stdout == "True\n"
    assert (len(service.taken()[0]), spool.segments(state)) == (2, [])


def test_only_what_is_acknowledged_is_behind(python, service, state):
    # The writer is not known before it posts: what is acknowledged is far beyond what it sent, of another writer.
    service.answers = [(200, json.dumps({"acked": {"f" * 32: 1 << 40}, "rejected": []}).encode())] * 50
    calls = "tracker.complete_task('T-1')\ntracker.complete_task('T-2')"
    assert python(program(service.url, calls, end="print(tracker.close(0.3))")).stdout == "False\n"
    assert len(spool.operations(state)) == 2


@pytest.mark.parametrize("code", [301, 302, 303])
def test_a_redirect_to_a_login_settles_nothing(python, service, state, code):
    service.answers = [(code, {"location": "/login"}), (200, b"<html>log in</html>")] * 50
    assert python(program(service.url, "tracker.complete_task('T-1')", end="print(tracker.close(1))")).stdout == "False\n"
    assert len(spool.operations(state)) == 1


def test_what_the_token_may_not_report_stays(python, service, state):
    service.forbidden = {"shop"}
    calls = "tracker.complete_task('T-1')\nTaskTracker('shed').complete_task('T-2')"
    other = {"OTEL_EXPORTER_OTLP_ENDPOINT": service.url, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20s3cret"}
    began = time.monotonic()
    done = python(program(service.url, calls, end="print(tracker.close(20), tracker.dropped)"), **other)
    assert done.stdout == "False 0\n" and time.monotonic() - began < 10
    assert done.stderr.count("takes no reports of project shop: the token may not report for this project") == 1
    assert [each["task"] for each in service.taken()[0].values() if each["task"] == "T-2"], "it keeps no other waiting"
    assert "T-1" in {each["task"] for each in spool.operations(state)}
    service.forbidden = set()
    assert python(program(service.url, "tracker.complete_task('T-3')")).stdout == "True\n"
    assert {each["task"] for each in service.taken()[0].values()} == {"T-1", "T-2", "T-3"}
    assert spool.segments(state) == []


def test_what_can_never_be_stored_is_given_up():
    def refused(kind):
        return {"writer": "W", "seq": 1, "reason": "a newer reason", "kind": kind}

    def settled(refusal):
        found = _post._Line(b'{"project":"p"}', b'{"op":"x","seq":1}', "W", 1, {})
        _post._settle(json.dumps({"acked": {}, "rejected": [refusal]}).encode(), [found], Destination("http+ops://s", "ops", {}))
        return found.settled, found.withheld

    nameless = {"writer": "W", "seq": None, "reason": "it is no operation"}
    assert settled(refused("invalid")) == settled(nameless) == (True, False)
    assert settled(refused("forbidden")) == (False, True)


def test_waits_that_the_service_asks_for_are_kept(python, service):
    service.answers = [(429, {"retry-after": "1"})]
    began = time.monotonic()
    assert python(program(service.url, "tracker.complete_task('T-1')")).stdout == "True\n"
    assert time.monotonic() - began > 1


def test_a_body_that_is_too_large_is_posted_in_halves(python, service):
    service.answers = [("limit", 20_000)]
    calls = "for n in range(100):\n    tracker.add_comment('T-1', 'ada', f'{n} ' + 'x' * 1000)"
    assert python(program(service.url, calls)).stdout == "True\n"
    found, repeated = service.taken()
    assert (len(found), repeated, max(map(len, service.bodies)) <= 20_000) == (100, 0, True)


def test_a_token_does_not_follow_to_another_address(python, service):
    with Service() as other:
        service.answers = [(307, {"location": other.url.replace("+ops", "")})] * 50
        assert python(program(service.url, "tracker.complete_task('T-1')", end="print(tracker.close(1))")).stdout == "False\n"
        assert other.headers == []
        other.shutdown()


def test_more_than_a_body_holds(python, service):
    calls = "for n in range(3000):\n    tracker.add_comment('T-1', 'ada', f'{n} ' + 'x' * 900)"
    assert python(program(service.url, calls, end="print(tracker.close(30))")).stdout == "True\n"
    found, repeated = service.taken()
    assert (len(found), repeated) == (3000, 0) and max(map(len, service.bodies)) < 1 << 20


def test_processes_that_end_at_once_post_each_line_once(python, service, state):
    calls = """
import os
children = []
for child in range(8):
    pid = os.fork()
    if pid == 0:
        for n in range(20):
            tracker.complete_task(f"T-{child}-{n}")
        os._exit(0 if tracker.close(20) else 1)
    children.append(pid)
print(sum(os.waitpid(pid, 0)[1] for pid in children))
"""
    done = python(program(service.url, calls))
    assert done.stderr == ""
    assert done.stdout == "0\nTrue\n"
    found, repeated = service.taken()
    assert (len(found), repeated, spool.segments(state)) == (160, 0, [])


def test_a_lane_that_cannot_be_taken_is_no_error_of_the_program(python, service, state):
    calls = "tracker.complete_task('T-1')\nimport os\nos.mkdir(os.path.join(tracker._spool.path, 'engine.lock'))"
    done = python(program(service.url, calls))
    assert done.stdout == "False\n" and "could not be sent" in done.stderr and "Traceback" not in done.stderr
    assert len(spool.operations(state)) == 1


def test_a_killed_process_loses_nothing(python, service, state):
    calls = "import os, signal\nfor n in range(50):\n    tracker.complete_task(f'T-{n}')\nos.kill(os.getpid(), signal.SIGKILL)"
    python(program(service.url, calls), check=False)
    assert python(program(service.url, "tracker.complete_task('T-50')")).stdout == "True\n"
    assert (len(service.taken()[0]), spool.segments(state)) == (51, [])


@pytest.fixture
def real_service(tmp_path):
    """The real `serve` with an open `/v1/ops`: its address, and how to ask it."""
    if not Path(BINARY).exists():
        pytest.skip("no binary of the service")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "token").write_text("s3cret\n")
    config = tmp_path / "contextcore.yaml"
    config.write_text(
        f"listen: 127.0.0.1:{port}\nstore: {{path: {tmp_path}/store}}\nops: {{token: {{file: {tmp_path}/token}}, projects: ['*']}}\n"
        f"export: {{otlp: {{endpoint: 'http://127.0.0.1:9'}}}}\nsources: [{{name: sdk, kind: sdk, path: {tmp_path}/there}}]\n"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("CONTEXTCORE_", "OTEL_"))}
    log = open(tmp_path / "serve.log", "wb")
    running = subprocess.Popen([BINARY, "--config", str(config), "serve"], stdout=log, stderr=log, env=environ)
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).close()
            break
        except OSError:
            assert time.monotonic() < deadline and running.poll() is None, (tmp_path / "serve.log").read_text()
            time.sleep(0.1)
    tasks = [BINARY, "--config", str(config), "-o", "json", "tasks"]
    yield f"http+ops://127.0.0.1:{port}/v1/ops", lambda: subprocess.run(tasks, capture_output=True, text=True, env=environ)
    running.terminate()
    running.wait(30)
    log.close()


def test_the_real_service_takes_it(python, real_service, state):
    url, tasks = real_service
    assert python(program(url, "tracker.start_task('T-1', 'Checkout')\ntracker.complete_task('T-1')")).stdout == "True\n"
    deadline = time.monotonic() + 30
    while "Checkout" not in tasks().stdout:
        assert time.monotonic() < deadline, tasks()
        time.sleep(0.2)
    assert spool.segments(state) == []
    wrong = program(url, "tracker.complete_task('T-1')", end="print(tracker.close(2))").replace("s3cret", "wrong")
    assert python(wrong).stdout == "False\n"


def test_the_helper_posts_where_there_is_one(python, service, state, tmp_path):
    if not Path(BINARY).exists():
        pytest.skip("no binary of the service")
    wrapper = tmp_path / "contextcore-real"
    wrapper.write_text(f'#!/bin/sh\nexec "{BINARY}" "$@" --linger 1s\n')
    wrapper.chmod(0o755)
    calls = "tracker.start_task('T-1', 'Checkout')\ntracker.complete_task('T-1')"
    done = python(program(service.url, calls, end="print(tracker.close(30))"), CONTEXTCORE_BIN=str(wrapper))
    assert (done.stdout, done.stderr) == ("True\n", "")
    assert (len(service.taken()[0]), service.headers[0]["authorization"]) == (2, "Bearer s3cret")
    deadline = time.monotonic() + 30
    while spool.segments(state) or list(state.rglob("engine.sock")):
        assert time.monotonic() < deadline, "the helper did not end"
        time.sleep(0.1)
