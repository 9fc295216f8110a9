#!/usr/bin/env python3
"""A helper that obeys docs/SPOOL.md section 6 and "sends" to a file: a fake for tests that have no binary of the service.

`CONTEXTCORE_FAKE_SENT` names the file; `CONTEXTCORE_FAKE_BACKEND=down` accepts nothing. It marks segments of dead writers as done.
"""

import fcntl
import hashlib
import json
import os
import select
import socket
import sys
import time

LINGER_S = float(os.environ.get("CONTEXTCORE_FAKE_LINGER", "0.8"))


def credential(headers):
    parts = ["contextcore-credential-v1"]
    for name in sorted(headers):
        parts += [name, headers[name]]
    data = b"".join(b"%d:%s," % (len(part.encode()), part.encode()) for part in parts)
    return hashlib.sha256(data).hexdigest() if headers else ""


def environment_headers():
    from urllib.parse import unquote

    pairs = (pair.partition("=") for pair in os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(",") if "=" in pair)
    return {name.strip().lower(): unquote(value).strip() for name, _, value in pairs}


class Lane:
    def __init__(self, path):
        self.path = path
        self.lock = os.open(os.path.join(path, "engine.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with open(os.path.join(path, "lane.json")) as file:
            self.about = json.load(file)
        self.headers = None if self.about["credentials"] else {}
        self.take_headers(environment_headers())
        name = os.path.join(path, "engine.sock")
        if os.path.exists(name):
            os.unlink(name)
        here = os.open(path, os.O_RDONLY)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(f"/proc/self/fd/{here}/engine.sock")
        os.chmod(name, 0o600)
        self.server.listen()
        self.taken = {}

    def take_headers(self, headers):
        def sha(*parts):
            return hashlib.sha256(b"".join(b"%d:%s," % (len(p.encode()), p.encode()) for p in parts)).hexdigest()

        known = sha("contextcore-lane-v1", self.about["endpoint"], self.about["protocol"], credential(headers))[:16]
        if known == os.path.basename(self.path):
            self.headers = headers
            return True
        return False

    def accepts(self):
        return self.headers is not None and os.environ.get("CONTEXTCORE_FAKE_BACKEND") != "down"

    def drain(self):
        """Takes new lines; True if there were any."""
        new = False
        for folder, _, names in os.walk(os.path.join(self.path, "spool")):
            for name in names:
                if name.startswith(".") or not name.endswith(".jsonl"):
                    continue
                new |= self.segment(os.path.join(folder, name))
        return new

    def segment(self, path):
        with open(path, "rb") as file:
            data = file.read()
        rows = []
        for line in data[: data.rfind(b"\n") + 1].split(b"\n"):
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        if not rows or not self.accepts():
            return False
        head, new = rows[0], False
        with open(os.environ["CONTEXTCORE_FAKE_SENT"], "a") as sent:
            for row in rows[1:]:
                if row["seq"] > self.taken.get(head["writer"], 0):
                    self.taken[head["writer"]] = row["seq"]
                    row = {**row, "project": head["project"], "writer": head["writer"], "to": self.about["endpoint"]}
                    sent.write(json.dumps({**row, "with": sorted(self.headers)}) + "\n")
                    new = True
        fd = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(path, path + ".done")
        except OSError:
            pass
        finally:
            os.close(fd)
        return new

    def answer(self, request):
        if request["cmd"] == "ping":
            return {"ok": True, "pid": os.getpid(), "version": "fake"}
        if request["cmd"] == "headers":
            return {"ok": True} if self.take_headers(request["headers"]) else {"ok": False, "error": "not of this lane"}
        if request["cmd"] == "flush":
            deadline = time.monotonic() + request["timeout_ms"] / 1000
            while True:
                self.drain()
                if all(self.taken.get(writer, 0) >= seq for writer, seq in request["writers"].items()):
                    return {"ok": True}
                if time.monotonic() >= deadline:
                    return {"ok": False, "taken": self.taken, "reason": "timeout", "error": "send to tempo: no address"}
                time.sleep(0.01)
        if request["cmd"] == "insight.query" and os.environ.get("CONTEXTCORE_FAKE_INSIGHTS"):
            return {"ok": True, "insights": [{"id": "ins_1", "type": "decision", "summary": "s", "query": request["query"]}]}
        return {"ok": False, "error": "unknown command"}


def serve(lanes):
    last, open_sockets = time.monotonic(), {}
    while time.monotonic() - last < LINGER_S:
        if any([lane.drain() for lane in lanes]):
            last = time.monotonic()
        ready, _, _ = select.select([*(lane.server for lane in lanes), *open_sockets], [], [], 0.02)
        for each in ready:
            if each in open_sockets:
                reader, lane = open_sockets[each]
                line = reader.readline()
                if not line:
                    del open_sockets[each]
                    continue
                each.sendall(json.dumps(lane.answer(json.loads(line))).encode() + b"\n")
            else:
                client, _ = each.accept()
                lane = next(lane for lane in lanes if lane.server is each)
                open_sockets[client] = (client.makefile("rb"), lane)


def main():
    state = sys.argv[sys.argv.index("--state") + 1]
    assert sys.argv[1] == "drain" and "--detach" in sys.argv
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    if os.environ.get("CONTEXTCORE_FAKE_STARTED"):
        with open(os.environ["CONTEXTCORE_FAKE_STARTED"], "a") as file:
            print(json.dumps({"environ": dict(os.environ), "cwd": os.getcwd(), "pid": os.getpid()}), file=file)
    lanes = []
    for name in os.listdir(os.path.join(state, "lanes")):
        try:
            if name != "none":
                lanes.append(Lane(os.path.join(state, "lanes", name)))
        except OSError:
            continue
    if lanes:
        serve(lanes)


main()
