"""For tests of programs that use the SDK: operations go into a list instead of the spool.

    def test_import():
        with contextcore.testing.memory() as operations:
            run_import()
        assert [each["op"] for each in operations] == ["task.start", "task.status", "task.complete"]
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from json import loads
from typing import Any

from . import _client
from ._spool import Stamp


@contextmanager
def memory() -> "Iterator[list[dict[str, Any]]]":
    """Takes every operation of the process while the block runs; nothing is written and no helper is started.

    Yields:
        The operations so far, in the form of the spool's lines (`docs/SPOOL.md`).
    """
    operations: list[dict[str, Any]] = []
    lock, stamp = threading.RLock(), Stamp()

    def take(line: bytes) -> None:
        with lock:
            now = stamp.format(time.time_ns() // 1_000_000)
            operations.append({"v": 1, "seq": len(operations) + 1, "t": now, **loads(b"{" + line)})

    before, _client.recorder = _client.recorder, take
    try:
        yield operations
    finally:
        _client.recorder = before
