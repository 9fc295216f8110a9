/** The base of what the SDK throws, and only with `strict: true`. */
export class ContextCoreError extends Error {
  override name = "ContextCoreError";
}

/** A value that cannot be recorded as it is: an empty id, an unknown type, a percentage of 140. */
export class InvalidTask extends ContextCoreError {
  override name = "InvalidTask";
}

/** A call could not be written: no directory that can be written, a full disk, or the spool's limit. */
export class SpoolUnavailable extends ContextCoreError {
  override name = "SpoolUnavailable";
}
