"""What a process says of itself by the environment of OpenTelemetry; docs/SPOOL.md is the format."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

_SERVICE = "service.name"
# Not more attributes, and not longer ones: longer names are left out, longer values cut.
_MOST = 32
_LONGEST = 255
_NO_BYTE = re.compile("%(?![0-9A-Fa-f]{2})")


def resource(environ: Mapping[str, str]) -> dict[str, str]:
    """The attributes of ``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SERVICE_NAME``, sorted by name; what is no pair is left out."""
    found: dict[str, str] = {}
    service = environ.get("OTEL_SERVICE_NAME", "").strip()
    _add(found, _SERVICE, service)
    for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        name, _, value = map(_decoded, pair.partition("="))
        if name != _SERVICE or not service:
            _add(found, name, value)
    return {name: found[name] for name in sorted(found)}


def _add(found: dict[str, str], name: str, value: str) -> None:
    if name and value and len(name) <= _LONGEST and (len(found) < _MOST or name in found):
        found[name] = value[:_LONGEST]


def _decoded(text: str) -> str:
    """Without its percent-encoding; empty where that is none."""
    try:
        return "" if _NO_BYTE.search(text) else unquote(text.strip(), errors="strict")
    except UnicodeDecodeError:
        return ""
