"""What a call costs, beside `start_span` and `end` of the OpenTelemetry SDK in the same run, and what the import costs.

    python benches/calls.py [--check]

With `--check` it fails when a call's p99 is over 50 µs or the import over 30 ms, unless the machine is busy. Both are
judged by processor time and the best of several runs, because on a shared machine the clock's p99 is the scheduler's; the clock's
numbers are printed too. Starting the helper is not in it; that is once a process.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from contextcore import TaskTracker
from contextcore.agent import InsightEmitter

CALLS = 1_000
RUNS = 20
CALL_US = 50.0
IMPORT_MS = 30.0
STANDARD = "import contextlib, datetime, enum, functools, hashlib, json, logging, math, socket, threading, urllib.parse, weakref"


def measured(call: Callable[[int], object]) -> tuple[float, float, float]:
    """Median and 99th percentile of a call by the clock, and the 99th percentile of its processor time, in µs."""
    rows = []
    for _ in range(RUNS):
        clock, processor = [], []
        for n in range(CALLS):
            used, began = time.thread_time_ns(), time.perf_counter_ns()
            call(n)
            clock.append(time.perf_counter_ns() - began)
            processor.append(time.thread_time_ns() - used)
        clock.sort()
        processor.sort()
        rows.append((clock[CALLS // 2] / 1000, clock[CALLS * 99 // 100] / 1000, processor[CALLS * 99 // 100] / 1000))
    return min(rows, key=lambda row: row[2])


def opentelemetry() -> "Callable[[int], object] | None":
    """Start and end of a span with two attributes, and the batch processor that everybody uses."""
    try:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    except ImportError:
        return None

    class Nothing(SpanExporter):
        def export(self, spans):
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nothing()))
    tracer = provider.get_tracer("bench")

    def call(n: int) -> None:
        tracer.start_span("PROJ-123", attributes={"task.id": f"T-{n}", "task.title": "Implement checkout flow"}).end()

    return call


def import_ms() -> float:
    """The import's time over that of the standard modules it needs, in ms; of several runs the best."""
    program = f"import time\n{STANDARD}\nbegan = time.process_time()\nimport contextcore\nprint(time.process_time() - began)"
    return min(float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout) for _ in range(7)) * 1000


def main() -> int:
    """Prints the table; the exit code says whether the limits hold."""
    failed = False
    with tempfile.TemporaryDirectory() as state:
        tracker = TaskTracker("bench", state_dir=state, drain="off")
        emitter = InsightEmitter("bench", "agent", state_dir=state, drain="off")
        ours: "dict[str, Callable[[int], object]]" = {
            "start_task": lambda n: tracker.start_task(f"T-{n}", "Implement checkout flow", task_type="story", parent_id="E-1"),
            "update_status": lambda n: tracker.update_status(f"T-{n}", "in_progress"),
            "complete_task": lambda n: tracker.complete_task(f"T-{n}"),
            "emit_decision": lambda n: emitter.emit_decision(f"Decision {n}", 0.9, applies_to=["src/a.py"]),
        }
        print(f"{'call':<32}{'p50 µs':>10}{'p99 µs':>10}{'p99 CPU':>10}")
        for name, call in ours.items():
            median, p99, used = measured(call)
            failed |= used > CALL_US
            print(f"{name:<32}{median:>10.1f}{p99:>10.1f}{used:>10.1f}")
        theirs = opentelemetry()
        if theirs is not None:
            median, p99, used = measured(theirs)
            print(f"{'OpenTelemetry start_span + end':<32}{median:>10.1f}{p99:>10.1f}{used:>10.1f}")
        assert tracker.dropped == 0
    taken = import_ms()
    failed |= taken > IMPORT_MS
    print(f"{'import contextcore':<32}{taken:>10.1f} ms")
    if failed and is_busy():
        print("over a limit, while more processes run than there are processors: that says nothing")
        failed = False
    return int(failed and "--check" in sys.argv)


def is_busy() -> bool:
    """Whether more processes run than there are processors: then even processor time has their cache misses in it."""
    return os.getloadavg()[0] > (os.cpu_count() or 1)


if __name__ == "__main__":
    sys.exit(main())
