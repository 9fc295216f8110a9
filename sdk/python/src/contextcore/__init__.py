"""Report tasks and insights from code and agents; they become OpenTelemetry traces, logs and metrics.

    from contextcore import TaskTracker

    tracker = TaskTracker(project_id="commerce-platform", otlp_endpoint="http://tempo:4317")
    with tracker.task("PROJ-123", "Implement checkout flow", task_type="story"):
        ...
"""

from contextcore_sdk import (
    ContextCoreError,
    InvalidTask,
    SpoolUnavailable,
    SprintTracker,
    Status,
    Task,
    TaskTracker,
    TaskType,
    __version__,
)

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
