// Tasks and sprints: the calls of programs that report their own work.

import { Client, type Moment, type Options } from "./client.js";
import { plain } from "./encode.js";

export { ContextCoreError, InvalidTask, SpoolUnavailable } from "./errors.js";
export type { Moment, Options } from "./client.js";

export type Scalar = string | number | boolean;

/** The kind of work a task is. Other words are passed on as they are. */
export const TaskType = {
  Epic: "epic", Story: "story", Task: "task", Subtask: "subtask", Bug: "bug", Spike: "spike", Incident: "incident",
} as const;
/** The state of a task. Other words are kept as its native status and mapped by the service's `statuses:`. */
export const Status = {
  Backlog: "backlog", Todo: "todo", InProgress: "in_progress", InReview: "in_review", Blocked: "blocked", Done: "done",
  Cancelled: "cancelled",
} as const;

/** Fields of a task besides its title. */
export interface TaskFields {
  taskType?: string;
  status?: string;
  priority?: string;
  assignee?: string;
  storyPoints?: number;
  labels?: string[];
  parentId?: string;
  dependsOn?: string[];
  url?: string;
  /** `YYYY-MM-DD`, or the local day of a Date. */
  dueDate?: string | Date;
  sprintId?: string;
  /** Attributes of your own. They become `task.attr.NAME`. */
  attributes?: Record<string, Scalar | null>;
  /** When it happened, if not now. */
  at?: Moment;
}

/** Fields to change; null clears one. */
export type TaskChanges = { [Name in keyof Omit<TaskFields, "status" | "at">]?: TaskFields[Name] | null } & {
  title?: string;
  /** The status that the task enters. */
  status?: string;
  at?: Moment;
};

interface When {
  at?: Moment;
}

function encoded(given: TaskChanges): Record<string, unknown> {
  return {
    title: given.title, type: given.taskType, status: given.status, parent: given.parentId, priority: given.priority,
    assignee: given.assignee, estimate: given.storyPoints, labels: given.labels, sprint: given.sprintId, due: given.dueDate,
    url: given.url, depends_on: given.dependsOn, attributes: given.attributes,
  };
}

/** Reports tasks. Each call appends one line to a file and returns; a helper process sends the lines. */
export class TaskTracker extends Client {
  readonly #active = new Set<string>();

  constructor(options: Options = {}) {
    super(options);
  }

  /** Creates a task. If it exists, what is given is updated and its creation stays the earliest. */
  startTask(taskId: string, title: string, fields: TaskFields = {}): Task {
    if (this.record("task.start", taskId, fields.at, encoded({ ...fields, title }))) this.#note(taskId, fields.status);
    return new Task(this, taskId);
  }

  /** Changes fields of a task; null clears one. */
  updateTask(taskId: string, changes: TaskChanges): void {
    if (this.record("task.update", taskId, changes.at, encoded(changes)) && changes.status) this.#note(taskId, changes.status);
  }

  /** Moves a task to another status: one of `Status`, or any word of your workflow. */
  updateStatus(taskId: string, newStatus: string, { reason, at }: When & { reason?: string } = {}): void {
    if (this.record("task.status", taskId, at, { status: newStatus, reason })) this.#note(taskId, newStatus);
  }

  /** Says that a task cannot go on, why, and which task it waits for. */
  blockTask(taskId: string, reason: string, { blockedBy, at }: When & { blockedBy?: string } = {}): void {
    this.record("task.block", taskId, at, { reason, blocked_by: blockedBy });
  }

  /** Says that a task can go on: in the status it had, or in one that is given. */
  unblockTask(taskId: string, { newStatus, at }: When & { newStatus?: string } = {}): void {
    const when = at === undefined ? {} : { at };
    if (this.record("task.unblock", taskId, at, {}) && newStatus) this.updateStatus(taskId, newStatus, when);
  }

  /** Finishes a task. The process that started it need not be this one. */
  completeTask(taskId: string, { at }: When = {}): void {
    if (this.record("task.complete", taskId, at, {})) this.#note(taskId, Status.Done);
  }

  /** Gives a task up. */
  cancelTask(taskId: string, { reason, at }: When & { reason?: string } = {}): void {
    if (this.record("task.cancel", taskId, at, { reason })) this.#note(taskId, Status.Cancelled);
  }

  /** Opens a finished task again. */
  reopenTask(taskId: string, { at }: When = {}): void {
    if (this.record("task.reopen", taskId, at, {})) this.#note(taskId, undefined);
  }

  /** Gives a task to somebody. */
  assignTask(taskId: string, assignee: string, { at }: When = {}): void {
    this.record("task.update", taskId, at, { assignee: assignee || null });
  }

  /** Reports how much of a task is done, 0 to 100. */
  setProgress(taskId: string, percent: number, { at }: When = {}): void {
    this.record("task.progress", taskId, at, { percent });
  }

  /** Adds a comment. */
  addComment(taskId: string, author: string, text: string, { at }: When = {}): void {
    this.record("task.comment", taskId, at, { text, author });
  }

  /** Records that something happened to a task: a name like `tests.passed` and up to 16 attributes. */
  addEvent(taskId: string, name: string, { attributes, at }: When & { attributes?: Record<string, Scalar> } = {}): void {
    this.record("task.event", taskId, at, { name, attributes });
  }

  /** Connects a task with a `commit`, `pr`, `build`, `deployment`, `trace` or `url`. */
  link(taskId: string, kind: string, ref: string, { url }: { url?: string } = {}): void {
    this.record("task.link", taskId, undefined, { kind, ref, url });
  }

  /**
   * Runs a function as a task: in progress while it runs, done at its end, blocked with the error's name if it throws, until it runs
   * again (being aborted does not block it).
   */
  async task<T>(taskId: string, title: string, work: (task: Task) => T | Promise<T>, fields: TaskFields = {}): Promise<T> {
    const task = this.startTask(taskId, title, fields);
    this.updateStatus(taskId, Status.InProgress);
    try {
      const result = await work(task);
      if (this.#isActive(taskId)) this.completeTask(taskId);
      return result;
    } catch (error) {
      const name = error instanceof Error ? error.name : typeof error;
      // As a status, which the next run ends.
      if (name !== "AbortError" && this.#isActive(taskId)) this.updateStatus(taskId, Status.Blocked, { reason: name });
      throw error;
    }
  }

  /** Ids of the tasks that this process started through this tracker and has not finished. */
  getActiveTasks(): string[] {
    return [...this.#active];
  }

  /** Whether the function itself has not completed or cancelled it. */
  #isActive(taskId: string): boolean {
    return this.#active.has(plain(taskId).trim());
  }

  #note(taskId: string, status: string | undefined): void {
    const key = plain(taskId).trim();
    if (status === Status.Done || status === Status.Cancelled) this.#active.delete(key);
    else this.#active.add(key);
  }
}

/** A task of a tracker: the same calls without the id. */
export class Task {
  constructor(
    private readonly tracker: TaskTracker,
    readonly id: string,
  ) {}

  updateStatus(...rest: Rest<"updateStatus">): void { this.tracker.updateStatus(this.id, ...rest); }
  update(...rest: Rest<"updateTask">): void { this.tracker.updateTask(this.id, ...rest); }
  block(...rest: Rest<"blockTask">): void { this.tracker.blockTask(this.id, ...rest); }
  unblock(...rest: Rest<"unblockTask">): void { this.tracker.unblockTask(this.id, ...rest); }
  complete(...rest: Rest<"completeTask">): void { this.tracker.completeTask(this.id, ...rest); }
  cancel(...rest: Rest<"cancelTask">): void { this.tracker.cancelTask(this.id, ...rest); }
  reopen(...rest: Rest<"reopenTask">): void { this.tracker.reopenTask(this.id, ...rest); }
  assign(...rest: Rest<"assignTask">): void { this.tracker.assignTask(this.id, ...rest); }
  setProgress(...rest: Rest<"setProgress">): void { this.tracker.setProgress(this.id, ...rest); }
  addComment(...rest: Rest<"addComment">): void { this.tracker.addComment(this.id, ...rest); }
  addEvent(...rest: Rest<"addEvent">): void { this.tracker.addEvent(this.id, ...rest); }
  link(...rest: Rest<"link">): void { this.tracker.link(this.id, ...rest); }
}

type Method = Exclude<{ [Name in keyof TaskTracker]: TaskTracker[Name] extends (id: string, ...rest: never[]) => void ? Name : never }[keyof TaskTracker], undefined>;
type Rest<Name extends Method> = Parameters<TaskTracker[Name]> extends [string, ...infer Others] ? Others : never;

/** Planned facts of a sprint. */
export interface SprintFields {
  name?: string;
  goal?: string;
  startDate?: string | Date;
  endDate?: string | Date;
  at?: Moment;
}

/** Reports sprints. */
export class SprintTracker extends Client {
  constructor(options: Options = {}) {
    super(options);
  }

  /** Begins a sprint, with its planned dates. */
  startSprint(sprintId: string, fields: SprintFields = {}): void {
    this.#sprint("sprint.start", sprintId, fields);
  }

  /** Ends a sprint. */
  endSprint(sprintId: string, fields: SprintFields = {}): void {
    this.#sprint("sprint.end", sprintId, fields);
  }

  /** Puts a task into a sprint. */
  addTask(sprintId: string, taskId: string, { at }: When = {}): void {
    this.record("task.update", taskId, at, { sprint: sprintId });
  }

  /** Takes a task out of its sprint. */
  removeTask(taskId: string, { at }: When = {}): void {
    this.record("task.update", taskId, at, { sprint: null });
  }

  #sprint(op: string, id: string, { name, goal, startDate, endDate, at }: SprintFields): void {
    this.record(op, undefined, at, { id, name, goal, start: startDate, end: endDate });
  }
}
