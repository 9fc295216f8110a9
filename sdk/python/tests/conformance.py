"""Runs cases of `sdk/conformance/calls.json`: calls in, lines of the spool out."""

import json
import re
import struct
import tempfile
from datetime import datetime
from pathlib import Path

from contextcore import SprintTracker, TaskTracker
from contextcore.agent import InsightEmitter

CLIENTS = {"tracker": TaskTracker, "sprints": SprintTracker, "emitter": InsightEmitter}


def value(given):
    """A value of the file; `$` marks what JSON cannot say."""
    if isinstance(given, list):
        return [value(each) for each in given]
    if not isinstance(given, dict):
        return given
    if "$time" in given:
        return datetime.fromisoformat(given["$time"].replace("Z", "+00:00").replace(".250", ".250000").replace(".500", ".500000"))
    if "$number" in given:
        return float(given["$number"])
    if "$repeat" in given:
        return given["$repeat"][0] * given["$repeat"][1]
    if "$repeat_list" in given:
        return [given["$repeat_list"][0]] * given["$repeat_list"][1]
    if "$units" in given:
        units = given["$units"]
        return struct.pack(f"<{len(units)}H", *units).decode("utf-16-le", "surrogatepass")
    return {name: value(each) for name, each in given.items()}


def redacted(line: str) -> str:
    """A line without what differs from run to run: its time, and ids that are random."""
    line = re.sub(r'("seq":\d+,"t":)"[^"]*"', r'\1"<t>"', line, count=1)
    found = json.loads(line)
    if found["op"] == "insight.emit" and found["type"] in ("question", "handoff", "blocker", "progress", "analysis"):
        line = line.replace(found["id"], "<id>") if "key" not in found else line
    return shortened(line)


def shortened(line: str) -> str:
    """Runs of one character are written as `<N x>`."""
    return re.sub(r"([^\W\d_])\1{99,}", lambda run: f"<{len(run[0])} {run[1]}>", line)


class Refused(Exception):
    """Why a block of a case fails."""


def run(tracker, task_id, title, outcome):
    """A block as a task, which fails or not."""
    try:
        with tracker.task(task_id, title):
            if outcome == "fails":
                raise Refused
    except Refused:
        pass


def run_case(case) -> list[str]:
    """The lines that a case gives."""
    with tempfile.TemporaryDirectory() as state:
        options = {"project_id": "p", **value(case["options"])}
        client = CLIENTS[case["client"]](state_dir=state, drain="off", **options)
        for call in case["calls"]:
            given = value(call.get("options", {}))
            if call["method"] in ("start_task", "update_task"):
                given.update(given.pop("attributes", {}))
            if call["method"] == "run":
                run(client, *value(call["args"]))
            else:
                getattr(client, call["method"])(*value(call["args"]), **given)
        client.close()
        lines = [line for path in Path(state).glob("lanes/*/spool/*/*.jsonl") for line in path.read_text("utf-8").split("\n")]
    return [redacted(line) for line in lines[1:] if line]
