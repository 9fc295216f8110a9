"""Where lines go: endpoint, protocol and headers, from arguments and the OpenTelemetry environment, and the lane they name.

The recipe of the lane's name is part of the spool's format (docs/SPOOL.md): every language and the helper must agree.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

from . import _log

_SCHEMES = ("http", "https", "http+ops", "https+ops")
_PROTOCOLS = ("grpc", "http/protobuf")
# The lane of lines that nobody has named a destination for.
NOWHERE = "none"


def sha(*parts: str) -> str:
    """SHA-256 over the parts, each preceded by its length, so that different lists never give the same bytes."""
    data = [part.encode("utf-8", "replace") for part in parts]
    return hashlib.sha256(b"".join([b"%d:%b," % (len(part), part) for part in data])).hexdigest()


class Destination:
    """An OTLP endpoint (or the ``/v1/ops`` of a service) with what is needed to talk to it."""

    __slots__ = ("endpoint", "headers", "protocol")

    def __init__(self, endpoint: str, protocol: str, headers: Mapping[str, str]) -> None:
        """``headers`` are those of the caller and of the environment together, names in lower case."""
        self.endpoint = endpoint
        self.protocol = protocol
        self.headers = dict(headers)

    @property
    def credential(self) -> str:
        """A hash of the headers; empty without any."""
        parts = [part for name in sorted(self.headers, key=str.encode) for part in (name, self.headers[name])]
        return sha("contextcore-credential-v1", *parts) if parts else ""

    @property
    def lane(self) -> str:
        """The directory of this destination under ``lanes``."""
        return sha("contextcore-lane-v1", self.endpoint, self.protocol, self.credential)[:16]

    def about(self) -> dict[str, object]:
        """What ``lane.json`` says: where the lines go, without secrets."""
        return {"v": 1, "endpoint": self.endpoint, "protocol": self.protocol, "credentials": bool(self.headers)}


def normalised(endpoint: str) -> "str | None":
    """The endpoint in the form that is hashed, or None if it cannot be one."""
    text = endpoint.strip()
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    # `urlsplit` drops an empty query or fragment, so look at the text itself.
    if parts.scheme not in _SCHEMES or not parts.hostname or "@" in parts.netloc or "?" in text or "#" in text:
        return None
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def environment_headers(text: str) -> dict[str, str]:
    """Headers as the OpenTelemetry environment writes them: ``k=v,k=v``, values percent-encoded."""
    found: dict[str, str] = {}
    for pair in text.split(","):
        name, equals, value = pair.partition("=")
        if equals and name.strip():
            found[name.strip().lower()] = unquote(value).strip()
    return found


def _from_environment(environ: Mapping[str, str]) -> str:
    """The endpoint of the environment. That of traces goes before that of all signals."""
    traces = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip().rstrip("/")
    return traces.removesuffix("/v1/traces") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()


def protocol_of(endpoint: str, named: "Iterable[str | None]") -> str:
    """The protocol: what is named first, else what the port suggests."""
    scheme, _, rest = endpoint.partition("://")
    if scheme.endswith("+ops"):
        return "ops"
    if "/" in rest:
        return "http/protobuf"
    for name in named:
        if name and name.strip() in _PROTOCOLS:
            return name.strip()
    return "http/protobuf" if urlsplit(endpoint).port == 4318 else "grpc"


def resolve(
    endpoint: "str | None", protocol: "str | None", headers: "Mapping[str, str] | None", environ: Mapping[str, str]
) -> "Destination | None":
    """The destination that arguments or environment name; None if neither does.

    An endpoint that cannot be used counts as none, with a warning: the lines stay in the spool. For an endpoint of the
    environment the variables of traces go before those of all signals, each by itself.
    """
    named, of_traces = endpoint or _from_environment(environ), not endpoint
    if not named:
        return None
    clean = normalised(str(named))
    if clean is None:
        _log.once(f"endpoint {named}", "the OTLP endpoint is not an address like http://host:4317; nothing is sent until it is")
        return None
    names = [protocol]
    if of_traces:
        names.append(environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"))
    names.append(environ.get("OTEL_EXPORTER_OTLP_PROTOCOL"))
    merged = environment_headers(environ.get("OTEL_EXPORTER_OTLP_HEADERS", ""))
    if of_traces:
        merged.update(environment_headers(environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "")))
    own = {str(name).strip().lower(): str(value).strip() for name, value in (headers or {}).items()}
    return Destination(clean, protocol_of(clean, names), {**merged, **own})


def only_lane(state: str, project_directory: str) -> str:
    """The one lane that has this project, else the lane without a destination."""
    try:
        lanes = [name for name in os.listdir(os.path.join(state, "lanes")) if name != NOWHERE and not name.startswith(".")]
    except OSError:
        return NOWHERE
    having = [name for name in lanes if os.path.isdir(os.path.join(state, "lanes", name, "spool", project_directory))]
    return having[0] if len(having) == 1 else NOWHERE
