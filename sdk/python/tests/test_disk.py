"""Full disks, directories that cannot be written, limits, and processes that are killed."""

import logging
import mmap
import os
import random
import resource
import signal
import stat

import pytest
import spool

from contextcore import SpoolUnavailable, TaskTracker
from contextcore_sdk import _spool, _state

KILLS = int(os.environ.get("CONTEXTCORE_KILLS", "1000"))


def _limited(state, room):
    """In a child: a file may grow to `room` bytes more for one call, then without limit. Reports what was not dropped."""
    tracker = TaskTracker("p", state_dir=state, drain="off")
    tracker.complete_task("T-0")
    path = spool.segments(state)[0]
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, resource.RLIM_INFINITY))
    tracker.complete_task("T-1")
    first = tracker.dropped
    tracker.complete_task("T-2")
    second = tracker.dropped - first
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    tracker.complete_task("T-3")
    kept = ["T-0"] + ["T-1"] * (1 - first) + ["T-2"] * (1 - second) + ["T-3"]
    found = [each["task"] for each in spool.lines(path)]
    # All but the last byte of a line can be there: the next write ends it.
    assert found == kept, (room, found, kept)
    assert tracker.dropped == first + second


def test_a_disk_that_is_full_at_any_byte_and_then_has_space(tmp_path):
    logging.getLogger("contextcore").setLevel(logging.CRITICAL)
    try:
        for room in range(0, 230, 1):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    _limited(tmp_path / str(room), room)
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitpid(pid, 0)[1] == 0, f"room for {room} bytes"
    finally:
        logging.getLogger("contextcore").setLevel(logging.NOTSET)


def test_a_full_disk_is_one_error_a_minute(state, caplog, monkeypatch):
    tracker = TaskTracker("p", state_dir=state, drain="off")
    tracker.complete_task("T-0")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_spool.os, "write", full)
    for _ in range(50):
        tracker.complete_task("T-1")
    monkeypatch.undo()
    assert tracker.dropped == 50
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "No space left" in caplog.text


def test_strict_raises_when_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("no directory")
    tracker = TaskTracker("p", state_dir=tmp_path / "file" / "state", strict=True)
    with pytest.raises(SpoolUnavailable):
        tracker.complete_task("T-1")


def test_no_directory_is_one_warning_and_counted_calls(tmp_path, caplog):
    (tmp_path / "file").write_text("no directory")
    tracker = TaskTracker("p", state_dir=tmp_path / "file" / "state")
    for _ in range(20):
        tracker.complete_task("T-1")
    assert tracker.dropped == 20
    assert len(caplog.records) == 1
    assert tracker.close() is True, "nothing is waiting"


def test_a_read_only_home_falls_back_to_tmp(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    tracker = TaskTracker("p")
    tracker.complete_task("T-1")
    state = tmp_path / "tmp" / f"contextcore-{os.geteuid()}"
    assert len(spool.operations(state)) == 1
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


@pytest.mark.parametrize("level", ["state", "lanes", "lane", "spool", "project"])
def test_links_are_not_followed(tmp_path, level):
    state, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = {
        "state": state, "lanes": state / "lanes", "lane": state / "lanes/none", "spool": state / "lanes/none/spool",
        "project": state / "lanes/none/spool/p",
    }[level]  # fmt: skip
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(elsewhere)
    tracker = TaskTracker("p", state_dir=state)
    tracker.complete_task("T-1")
    assert tracker.dropped == 1
    assert list(elsewhere.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")
def test_a_directory_of_somebody_else_is_refused(state):
    state.mkdir()
    os.chown(state, 12345, 12345)
    tracker = TaskTracker("p", state_dir=state)
    tracker.complete_task("T-1")
    assert tracker.dropped == 1


def test_modes_are_private(state):
    TaskTracker("p", "http://127.0.0.1:1", state_dir=state).complete_task("T-1")
    for folder, _, names in os.walk(state):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        assert all(stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) == 0o600 for name in names)


def test_segments_end_at_their_size(state, monkeypatch):
    monkeypatch.setattr(_spool, "SEGMENT_BYTES", 4096)
    tracker = TaskTracker("p", state_dir=state)
    for n in range(200):
        tracker.start_task(f"T-{n}", "x" * 50)
    files = spool.segments(state)
    assert len(files) > 5
    assert all(path.stat().st_size <= 4096 for path in files)
    assert [each["task"] for each in spool.operations(state)] == [f"T-{n}" for n in range(200)]
    spool.check_order(state)
    dead = [spool.is_dead(path) for path in sorted(files, key=lambda path: int(path.name.split(".")[1]))]
    assert dead == [True] * (len(files) - 1) + [False]


def test_a_removed_file_is_made_again(state, monkeypatch):
    monkeypatch.setattr(_spool, "_PAUSE_S", 0.0)
    tracker = TaskTracker("p", state_dir=state)
    tracker.complete_task("T-1")
    import shutil

    shutil.rmtree(state)
    tracker.complete_task("T-2")
    assert [each["task"] for each in spool.operations(state)] == ["T-2"]


def test_the_limit_of_the_spool(state, monkeypatch, caplog):
    monkeypatch.setattr(_spool, "SEGMENT_BYTES", 10_000)
    monkeypatch.setattr(_spool, "CAP_BYTES", 35_000)
    monkeypatch.setattr(_spool, "_PAUSE_S", 0.0)
    tracker = TaskTracker("p", state_dir=state)
    for n in range(2000):
        tracker.complete_task(f"T-{n}")
    kept = len(spool.operations(state))
    assert 0 < tracker.dropped == 2000 - kept
    assert sum(path.stat().st_size for path in spool.segments(state)) < 50_000
    assert "nobody has taken" in caplog.text
    # What was taken makes room for new lines, the oldest first.
    for path in spool.segments(state)[:3]:
        path.rename(path.with_name(path.name + ".done"))
    before = tracker.dropped
    tracker.complete_task("T-new")
    assert tracker.dropped == before


def test_a_small_file_system(tmp_path):
    """A real full disk, where this machine lets us mount one."""
    import subprocess

    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        tracker = TaskTracker("p", state_dir=place / "state")
        kept = []
        for n in range(2000):
            before = tracker.dropped
            tracker.complete_task(f"T-{n}")
            if tracker.dropped == before:
                kept.append(f"T-{n}")
        assert tracker.dropped > 0
        ballast = spool.segments(place / "state")[0].with_suffix(".copy")
        assert [each["task"] for each in spool.operations(place / "state")] == kept
        assert not ballast.exists()
        subprocess.run(["mount", "-o", "remount,size=256k", place], check=True)
        tracker.complete_task("T-space")
        assert [each["task"] for each in spool.operations(place / "state")] == [*kept, "T-space"]
        tracker.close()
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_network_file_systems_are_known(tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw - ext4 /dev/root rw\n"
        "2 1 0:9 / /home rw shared:1 - nfs4 server:/home rw\n"
        "3 2 0:8 / /home/local rw - ext4 /dev/b rw\n"
        "4 1 0:7 / /srv/two\\040words rw - cifs //server/share rw\n"
    )
    known = {path: _state.on_network(path, str(table)) for path in ("/var/x", "/home/ada/s", "/home/local/s", "/srv/two words/s")}
    assert known == {"/var/x": False, "/home/ada/s": True, "/home/local/s": False, "/srv/two words/s": True}


def test_a_thousand_kills(tmp_path):
    """kill -9 at a random moment: what returned is in the file, whole and once; a torn end is not counted."""
    chance = random.Random(4711)
    # One store writes it; `struct.pack_into` would clear it first, and a kill can come in between.
    shared = memoryview(mmap.mmap(-1, 8)).cast("q")
    for n in range(KILLS):
        state = tmp_path / str(n)
        shared[0] = -1
        pid = os.fork()
        if pid == 0:
            try:
                tracker = TaskTracker("p", state_dir=state, drain="off")
                i = 0
                while True:
                    tracker.start_task(f"T-{i}", "x" * (1 << chance.randrange(15)))
                    shared[0] = i
                    i += 1
            finally:
                os._exit(3)
        while shared[0] < 0:
            os.sched_yield()
        signal.sigtimedwait([], chance.random() * 0.004)
        os.kill(pid, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
        returned = shared[0] + 1
        found = [each["task"] for each in spool.operations(state)]
        assert found[:returned] == [f"T-{i}" for i in range(returned)], f"kill {n}"
        assert len(found) <= returned + 1
        assert all(spool.is_dead(path) for path in spool.segments(state))
        for path in spool.segments(state):
            path.unlink()


def test_calls_sync_nothing_and_flush_syncs_the_file_and_its_directory(state, monkeypatch):
    """The model of a power loss: what was synced stays. The helper syncs each second (its own tests), the program at flush and close."""
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    tracker = TaskTracker("p", state_dir=state, drain="off")
    for n in range(100):
        tracker.start_task(f"T-{n}", "x")
    assert synced == []
    (segment,) = spool.segments(state)
    for end in (tracker.flush, tracker.close):
        assert end(0) is False
        assert synced == [str(segment), str(segment.parent)]
        synced.clear()
        tracker.complete_task("T-1")


@pytest.mark.parametrize("broken", [b"", b'{"v":1,"endp', b"[]"])
def test_a_lane_whose_file_cannot_be_read_says_again_where_it_goes(state, broken):
    TaskTracker("p", "http://tempo:4317", state_dir=state, drain="off").complete_task("T-1")
    about = next(state.glob("lanes/*/lane.json"))
    whole = about.read_bytes()
    about.write_bytes(broken)
    TaskTracker("q", "http://tempo:4317", state_dir=state, drain="off").complete_task("T-2")
    assert about.read_bytes() == whole
    assert not list(about.parent.glob(".lane.json*"))
