"""Warnings on the logger ``contextcore``: each once, errors of the disk at most once a minute.

Nothing here raises: a logging handler that fails must not break the program that reports a task.
"""

import logging
import time

logger = logging.getLogger("contextcore")

# More different warnings than this are noise.
_MAX_KEYS = 1000
_PERIOD_S = 60.0
_seen: set[str] = set()
_last: dict[str, float] = {}


def _emit(level: int, message: str) -> None:
    try:
        logger.log(level, message)
    except Exception:  # noqa: BLE001 - a handler of the program failed, or was interrupted in the middle of a record
        pass


def once(key: str, message: str) -> None:
    """Warns the first time this key is seen in the process."""
    if key not in _seen and len(_seen) < _MAX_KEYS:
        _seen.add(key)
        _emit(logging.WARNING, message)


def limited(key: str, message: str) -> None:
    """An error, at most once a minute for this key."""
    now = time.monotonic()
    if now - _last.get(key, -_PERIOD_S) >= _PERIOD_S:
        _last[key] = now
        _emit(logging.ERROR, message)


def warn(message: str) -> None:
    """A warning, every time."""
    _emit(logging.WARNING, message)


def debug(message: str) -> None:
    """A line of ``debug=True``."""
    _emit(logging.DEBUG, message)


def enable_debug() -> None:
    """Prints everything the SDK does to standard error, if the program has no handler of its own."""
    logger.setLevel(logging.DEBUG)
    if not logger.hasHandlers():
        logger.addHandler(logging.StreamHandler())
