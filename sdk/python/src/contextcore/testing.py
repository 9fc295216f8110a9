"""For tests of programs that use the SDK."""

from contextcore_sdk.testing import memory

__all__ = ["memory"]
