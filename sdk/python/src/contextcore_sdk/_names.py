"""Names of the registry. Generated from `core/model/src/semconv.rs`; do not edit."""

PROJECT_ID = "project.id"
TASK_ID = "task.id"
TASK_TYPES = (
    "epic",
    "story",
    "task",
    "subtask",
    "bug",
    "spike",
    "incident",
)
STATUSES = (
    "backlog",
    "todo",
    "in_progress",
    "in_review",
    "blocked",
    "done",
    "cancelled",
)
INSIGHT_TYPES = (
    "decision",
    "lesson",
    "question",
    "blocker",
    "risk",
    "handoff",
    "recommendation",
    "discovery",
    "analysis",
    "progress",
)
