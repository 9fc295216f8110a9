"""The version of the SDK, written into the first line of every segment."""

__version__ = "0.1.0"
