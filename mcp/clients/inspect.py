"""Asks the server on stdio with the Inspector for the list of its tools, and calls each tool once; compares with golden.json.

usage: inspect.py INSPECTOR COMMAND ARG...

Times and ids differ each time and are replaced. UPDATE_GOLDEN=1 writes the file anew: read the diff, it is what agents will see.
"""

import difflib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

GOLDEN = pathlib.Path(__file__).with_name("golden.json")
PROJECT = "golden"
KEY = "GOLD-1"
# What is written first is what the others read.
CALLS = [
    ("report_task", {"key": KEY, "op": "start", "title": "Pay by card", "type": "story", "estimate": 3, "project": PROJECT}),
    ("record_insight", {
        "type": "decision", "summary": "Cards before invoices", "rationale": "Most customers pay so", "confidence": 0.9,
        "applies_to": ["path:src/pay/**", f"task:{KEY}"], "project": PROJECT,
    }),
    ("ask_human", {"question": "Which currency first?", "options": ["EUR", "USD"], "blocking": True, "project": PROJECT}),
    ("hand_off", {"to": "any", "summary": "Finish the tests", "remaining": ["timeouts"], "task": KEY, "project": PROJECT}),
    ("update_insight", {"id": "$ID", "action": "retract", "text": "it was only an example"}),
    ("get_task", {"key": KEY, "include": ["timeline"]}),
    ("find_tasks", {"project": PROJECT, "fields": ["title", "points", "sprint"]}),
    ("find_insights", {"project": PROJECT, "text": "cards", "status": "all"}),
    ("get_context", {"project": PROJECT, "task": KEY, "question": "what may be paid with?"}),
    ("get_project", {"project": PROJECT}),
]
CHANGING = [
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"ins_[0-9a-f]{16}", "ins_ID"),
    (r"\b[0-9a-f]{32}\b", "TRACE"),
    (r"\b[0-9a-f]{16}\b", "SPAN"),
]
UNSTEADY = {"read_seconds_ago", "lag", "version"}


def ask(*arguments):
    inspector, *command = sys.argv[1:]
    done = subprocess.run(["node", inspector, "--cli", *command, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout)


def call(tool, arguments):
    pairs = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in arguments.items()]
    answer = ask("--method", "tools/call", "--tool-name", tool, *(part for pair in pairs for part in ("--tool-arg", pair)))
    assert not answer.get("isError"), f"{tool}: {answer}"
    return answer["structuredContent"]


def steady(value):
    if isinstance(value, dict):
        return {name: "…" if name in UNSTEADY else steady(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [steady(inner) for inner in value]
    if isinstance(value, str):
        for pattern, word in CHANGING:
            value = re.sub(pattern, word, value)
    return value


def until_stored(insight):
    """What was written is read within a moment."""
    for _ in range(20):
        if call("find_insights", {"project": PROJECT, "status": "all"}).get("total", 0) >= insight:
            return
        time.sleep(0.25)
    raise AssertionError("what was written did not appear")


def main():
    found = {"tools/list": ask("--method", "tools/list")}
    known = ""
    for tool, arguments in CALLS:
        if tool in ("update_insight", "get_task"):
            until_stored(3)
        answer = call(tool, {name: known if value == "$ID" else value for name, value in arguments.items()})
        known = answer["id"] if tool == "record_insight" else known
        if tool == "report_task":
            # Whether it is stored by then depends on the machine.
            answer = {name: answer[name] for name in ("key", "accepted")}
        found[tool] = steady(answer)
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    diff = list(difflib.unified_diff(GOLDEN.read_text().splitlines(), text.splitlines(), "golden.json", "now", lineterm=""))
    assert not diff, "\n".join(diff) + "\nUPDATE_GOLDEN=1 renews golden.json"
    print(f"inspector: the list of tools and {len(CALLS)} calls are as in golden.json")


main()
