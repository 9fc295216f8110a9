"""What the SDK raises, and only with ``strict=True``."""


class ContextCoreError(Exception):
    """The base of all errors of this package."""


class InvalidTask(ContextCoreError, ValueError):
    """A value that cannot be recorded as it is: an empty id, an unknown type, a percentage of 140."""


class SpoolUnavailable(ContextCoreError):
    """A call could not be written: no directory that can be written, a full disk, or the spool's limit."""
