// The current span of OpenTelemetry, if the program uses it. Read from the place where every copy of `@opentelemetry/api` 1.x in a
// process registers itself, so that this package does not depend on it.

const API = Symbol.for("opentelemetry.js.api.1");
const SPAN = Symbol.for("OpenTelemetry Context Key SPAN");

interface SpanContext {
  traceId?: unknown;
  spanId?: unknown;
  traceFlags?: unknown;
}

/** Lower-case hex of that length, not all zeros. */
const isId = (text: unknown, length: number): text is string =>
  typeof text === "string" && text.length === length && /^[0-9a-f]+$/.test(text) && /[^0]/.test(text);

/** Its `traceparent`, as the W3C writes it; null without a span. */
export function traceparent(): string | null {
  const api = (globalThis as Record<symbol, any>)[API];
  if (api === undefined) return null;
  try {
    const found: SpanContext | undefined = api.context?.active()?.getValue(SPAN)?.spanContext();
    if (!found || !isId(found.traceId, 32) || !isId(found.spanId, 16)) return null;
    const flags = (Number(found.traceFlags) & 0xff).toString(16).padStart(2, "0");
    return `00-${found.traceId}-${found.spanId}-${flags}`;
  } catch {
    // Another package's state must not lose the operation.
    return null;
  }
}
