// Warnings on standard error: each once, errors of the disk at most once a minute.

const seen = new Set<string>();
const last = new Map<string, number>();
const PERIOD_MS = 60_000;
const MAX_KEYS = 1000;

function emit(message: string): void {
  try {
    process.emitWarning(message, "ContextCoreWarning");
  } catch {
    // A handler of the program failed. That must not break the program that reports a task.
  }
}

/** Warns the first time this key is seen in the process. */
export function once(key: string, message: string): void {
  if (!seen.has(key) && seen.size < MAX_KEYS) {
    seen.add(key);
    emit(message);
  }
}

/** Warns at most once a minute for this key. */
export function limited(key: string, message: string): void {
  const now = Date.now();
  if (now - (last.get(key) ?? -Infinity) >= PERIOD_MS) {
    last.set(key, now);
    emit(message);
  }
}

/** Warns every time. */
export const warn = emit;
