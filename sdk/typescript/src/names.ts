// Names of the registry. Generated from core/model/src/semconv.rs; do not edit.

export const PROJECT_ID = "project.id";
export const TASK_ID = "task.id";
export const TASK_TYPES = [
  "epic",
  "story",
  "task",
  "subtask",
  "bug",
  "spike",
  "incident",
] as const;
export const STATUSES = [
  "backlog",
  "todo",
  "in_progress",
  "in_review",
  "blocked",
  "done",
  "cancelled",
] as const;
export const INSIGHT_TYPES = [
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
] as const;
