"""Threads, forks, signals and event loops: what returned is in the spool once, and nothing waits for ever."""

import itertools
import multiprocessing
import os
import signal
import sys
import threading

import pytest
import spool

from contextcore import TaskTracker


def tasks(state):
    return [each["task"] for each in spool.operations(state)]


def child(work) -> int:
    """Forks, runs `work` in the child, and returns its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_32_threads_lose_and_repeat_nothing(state):
    tracker = TaskTracker("p", state_dir=state)
    threads = [
        threading.Thread(target=lambda n=n: [tracker.complete_task(f"T-{n}-{i}") for i in range(200)]) for n in range(32)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(tasks(state)) == sorted(f"T-{n}-{i}" for n in range(32) for i in range(200))
    assert len(spool.segments(state)) == 1
    spool.check_order(state)


def test_a_forked_child_has_a_file_of_its_own(state):
    tracker = TaskTracker("p", state_dir=state)
    tracker.start_task("T-1", "of the parent")
    assert child(lambda: tracker.complete_task("T-2")) == 0
    tracker.complete_task("T-3")
    assert tasks(state) == ["T-1", "T-2", "T-3"]
    assert len(spool.segments(state)) == 2
    dead = {path: spool.is_dead(path) for path in spool.segments(state)}
    assert sorted(dead.values()) == [False, True], "the child's exit must not release the parent's lock"


def test_a_child_that_uses_nothing_leaves_nothing_and_keeps_no_lock(state):
    tracker = TaskTracker("p", state_dir=state)
    tracker.start_task("T-1", "x")
    path = spool.segments(state)[0]
    read, write = os.pipe()
    runs, running = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(running, b"x")
        os.read(read, 1)
        os._exit(0)
    # It lets go of what it has inherited before it runs anything, but it may not run at once.
    os.read(runs, 1)
    tracker.close()
    try:
        assert spool.is_dead(path), "the child holds the parent's descriptor"
    finally:
        os.write(write, b"x")
        os.waitpid(pid, 0)


def test_active_tasks_are_those_of_the_process(state):
    tracker = TaskTracker("p", state_dir=state)
    tracker.start_task("T-1", "x")

    def work():
        assert tracker.get_active_tasks() == []

    assert child(work) == 0
    assert tracker.get_active_tasks() == ["T-1"]


def test_a_fork_while_other_threads_are_in_a_call(state):
    tracker = TaskTracker("p", state_dir=state)
    stop = threading.Event()

    def work(n):
        i = 0
        while not stop.is_set():
            tracker.complete_task(f"T-{n}-{i}")
            i += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for each in threads:
        each.start()
    try:
        for n in range(30):
            pid = os.fork()
            if pid == 0:
                signal.alarm(10)  # a deadlock ends the child with a signal
                tracker.complete_task(f"child-{n}")
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        stop.set()
        for each in threads:
            each.join()
    assert sorted(each for each in tasks(state) if each.startswith("child")) == sorted(f"child-{n}" for n in range(30))


def test_a_signal_handler_that_calls_the_tracker(state):
    tracker = TaskTracker("p", state_dir=state)
    calls, numbers, inside = [], itertools.count(), []

    def handler(*_):
        # Handlers interrupt each other, too; without a bound a slow machine would come to the end of Python's stack.
        if len(inside) >= 8:
            return
        inside.append(None)
        name = f"H-{next(numbers)}"
        tracker.complete_task(name)
        calls.append(name)
        inside.pop()

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    try:
        for i in range(6000):
            tracker.start_task(f"T-{i}", "x" * 300)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    found = tasks(state)
    assert len(calls) > 20
    assert tracker.dropped == 0
    assert sorted(found) == sorted([f"T-{i}" for i in range(6000)] + calls)
    spool.check_order(state)


def test_a_call_inside_a_call_is_written_and_ordered(state, monkeypatch):
    """The inner call happens exactly between the number and the write of the outer one."""
    from contextcore_sdk._spool import Writer

    tracker = TaskTracker("p", state_dir=state)
    tracker.complete_task("first")
    write, entered = Writer.write, []

    def interrupted(self, line):
        if not entered:
            entered.append(True)
            tracker.complete_task("inner")
        write(self, line)

    monkeypatch.setattr(Writer, "write", interrupted)
    tracker.complete_task("outer")
    tracker.complete_task("last")
    assert sorted(tasks(state)) == ["first", "inner", "last", "outer"]
    assert tasks(state)[-1] == "last", "a later call has a later time, whatever the names of the writers"
    spool.check_order(state)


def test_a_signal_handler_that_forks_in_the_middle_of_a_call(state, monkeypatch):
    """The child returns into the parent's call. The parent writes that line, the child must not."""
    from contextcore_sdk._spool import Writer

    tracker = TaskTracker("p", state_dir=state)
    tracker.complete_task("first")
    write, forked = Writer.write, []

    def interrupted(self, line):
        if not forked:
            forked.append(os.fork())
            if forked[0] == 0:
                tracker.complete_task("child")
        write(self, line)

    monkeypatch.setattr(Writer, "write", interrupted)
    tracker.complete_task("outer")
    if forked[0] == 0:
        tracker.complete_task("child again")
        os._exit(0)
    assert os.waitpid(forked[0], 0)[1] == 0
    assert sorted(tasks(state)) == ["child", "child again", "first", "outer"]


def test_an_exception_of_a_signal_handler_in_the_middle_of_a_call(state, monkeypatch):
    from contextcore_sdk._spool import Writer

    tracker = TaskTracker("p", state_dir=state)
    write, raised = Writer.write, []

    def interrupted(self, line):
        if not raised:
            raised.append(True)
            raise KeyboardInterrupt
        write(self, line)

    monkeypatch.setattr(Writer, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tracker.complete_task("interrupted")
    tracker.complete_task("after")
    assert tasks(state) == ["after"]


def _report(tracker, name):
    tracker.complete_task(name)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(state, method, monkeypatch):
    tracker = TaskTracker("p", state_dir=state, actor="ada")
    tracker.start_task("T-0", "x")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.path.dirname(__file__), *sys.path]))
    context = multiprocessing.get_context(method)
    children = [context.Process(target=_report, args=(tracker, f"T-{n}")) for n in range(1, 4)]
    for each in children:
        each.start()
    for each in children:
        each.join(60)
        assert each.exitcode == 0
    assert sorted(tasks(state)) == ["T-0", "T-1", "T-2", "T-3"]
    assert {each["actor"] for each in spool.operations(state)} == {"ada"}
    assert len(spool.segments(state)) == 4


def test_a_pool_of_processes(state):
    tracker = TaskTracker("p", state_dir=state)
    tracker.start_task("T-0", "x")
    with multiprocessing.get_context("fork").Pool(3) as pool:
        pool.starmap(_report, [(tracker, f"P-{n}") for n in range(50)])
    assert sorted(tasks(state)) == sorted(["T-0"] + [f"P-{n}" for n in range(50)])


def test_two_processes_on_one_task(python, state):
    python("from contextcore import TaskTracker; TaskTracker('p').start_task('T-1', 'Long work', task_type='story')")
    python("from contextcore import TaskTracker; TaskTracker('p').complete_task('T-1')")
    assert [(each["op"], each.get("title")) for each in spool.operations(state)] == [
        ("task.start", "Long work"), ("task.complete", None)
    ]  # fmt: skip
    assert len(spool.segments(state)) == 2


def test_gunicorn_with_preload(state, tmp_path):
    pytest.importorskip("gunicorn")
    import socket
    import subprocess
    import time
    import urllib.request

    (tmp_path / "app.py").write_text(
        "import os\n"
        "from contextcore import TaskTracker\n"
        f"tracker = TaskTracker('p', state_dir={str(state)!r}, drain='off')\n"
        "tracker.start_task('T-0', 'preloaded')\n"
        "def app(environ, start_response):\n"
        "    tracker.complete_task('T-' + environ['PATH_INFO'].strip('/'))\n"
        "    start_response('200 OK', [])\n"
        "    return [str(os.getpid()).encode()]\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    source = os.path.join(os.path.dirname(__file__), "..", "src")
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--preload", "-w", "2", "-b", f"127.0.0.1:{port}", "--no-control-socket", "app:app"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": source}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        workers = set()
        for n in range(1, 41):
            for _ in range(200):
                try:
                    workers.add(urllib.request.urlopen(f"http://127.0.0.1:{port}/{n}", timeout=5).read())
                    break
                except OSError:
                    time.sleep(0.05)
    finally:
        server.terminate()
        server.wait(20)
    assert sorted(tasks(state)) == sorted(f"T-{n}" for n in range(41))
    assert len(spool.segments(state)) == 1 + len(workers)


def test_asyncio(state):
    import asyncio

    async def work(n):
        async with tracker.task(f"T-{n}", "async"):
            await asyncio.sleep(0.001)

    async def main():
        await asyncio.gather(*(work(n) for n in range(50)))

    tracker = TaskTracker("p", state_dir=state)
    asyncio.run(main())
    done = [each["task"] for each in spool.operations(state) if each["op"] == "task.complete"]
    assert sorted(done) == sorted(f"T-{n}" for n in range(50))
    assert tracker.get_active_tasks() == []


def test_a_fork_inside_a_block_completes_the_task_once(state):
    tracker = TaskTracker("p", state_dir=state)
    pid = None
    with tracker.task("T-1", "x"):
        pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert [each["op"] for each in spool.operations(state)] == ["task.start", "task.status", "task.complete"]
