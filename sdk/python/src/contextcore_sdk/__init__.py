"""The code of the distribution ``contextcore-sdk``. Import it as ``contextcore``."""

from ._task import Task
from ._version import __version__
from .errors import ContextCoreError, InvalidTask, SpoolUnavailable
from .tracker import SprintTracker, Status, TaskTracker, TaskType

__all__ = [
    "ContextCoreError",
    "InvalidTask",
    "SpoolUnavailable",
    "SprintTracker",
    "Status",
    "Task",
    "TaskTracker",
    "TaskType",
    "__version__",
]
