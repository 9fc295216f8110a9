"""Reads a spool as docs/SPOOL.md says readers do, without draining it."""

import fcntl
import json
import os
from pathlib import Path


def segments(state) -> list[Path]:
    """Every segment under a state directory."""
    return sorted(Path(state).glob("lanes/*/spool/*/*.jsonl"))


def lines(path: Path) -> list[dict]:
    """The operations of a segment: whole lines that are JSON objects with a number; its header is checked."""
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    found = []
    for line in whole.split(b"\n"):
        try:
            each = json.loads(line)
        except ValueError:
            continue
        found.append(each)
    assert found[0]["writer"] == path.name.split(".")[0]
    assert all(len(line) < 65_536 for line in whole.split(b"\n"))
    return found[1:]


def operations(state) -> list[dict]:
    """The operations of all segments, each with its writer, in the order in which they count."""
    found = [{**each, "writer": path.name.split(".")[0]} for path in segments(state) for each in lines(path)]
    keys = [(each["writer"], each["seq"]) for each in found]
    assert len(keys) == len(set(keys)), "a number was used twice"
    return sorted(found, key=lambda each: (each["t"], each["writer"], each["seq"]))


def check_order(state) -> None:
    """Numbers rise and times do not fall within each writer's files."""
    for writer in {path.name.split(".")[0] for path in segments(state)}:
        files = sorted((path for path in segments(state) if path.name.startswith(writer)), key=lambda p: int(p.name.split(".")[1]))
        rows = [each for path in files for each in lines(path)]
        assert [row["seq"] for row in rows] == sorted({row["seq"] for row in rows})
        assert [row["t"] for row in rows] == sorted(row["t"] for row in rows)


def is_dead(path: Path) -> bool:
    """Whether the writer of a segment has given its lock up."""
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
