// Where lines go: endpoint, protocol and headers, from options and the OpenTelemetry environment, and the lane they name.
// The recipe is part of the spool's format (docs/SPOOL.md): every language and the helper must agree.

import { createHash } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

import * as log from "./log.js";

export type Environment = Record<string, string | undefined>;
export const NOWHERE = "none";
const SCHEMES = ["http:", "https:", "http+ops:", "https+ops:"];
const PROTOCOLS = ["grpc", "http/protobuf"];

/** SHA-256 over the parts, each preceded by its length, so that different lists never give the same bytes. */
export function sha(...parts: string[]): string {
  const digest = createHash("sha256");
  for (const part of parts) {
    const data = Buffer.from(part, "utf8");
    digest.update(`${data.length}:`).update(data).update(",");
  }
  return digest.digest("hex");
}

const bytewise = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** An endpoint with what is needed to talk to it. */
export class Destination {
  constructor(
    readonly endpoint: string,
    readonly protocol: string,
    /** Those of the caller and of the environment together, names in lower case. */
    readonly headers: Record<string, string>,
  ) {}

  /** A hash of the headers; empty without any. */
  get credential(): string {
    const names = Object.keys(this.headers).sort(bytewise);
    return names.length ? sha("contextcore-credential-v1", ...names.flatMap((name) => [name, this.headers[name] ?? ""])) : "";
  }

  /** The directory of this destination under `lanes`. */
  get lane(): string {
    return sha("contextcore-lane-v1", this.endpoint, this.protocol, this.credential).slice(0, 16);
  }

  /** What `lane.json` says: where the lines go, without secrets. */
  about(): object {
    return { v: 1, endpoint: this.endpoint, protocol: this.protocol, credentials: Object.keys(this.headers).length > 0 };
  }
}

/** The endpoint in the form that is hashed, or null if it cannot be one. */
export function normalised(endpoint: string): string | null {
  const text = endpoint.trim();
  const match = /^([a-z+]+):\/\/([^/?#@]+)(\/[^?#]*)?$/i.exec(text);
  if (!match || !SCHEMES.includes(`${match[1]!.toLowerCase()}:`)) return null;
  // The port stays as it is given, so the address is only checked with URL.
  if (!URL.canParse(`http://${match[2]!}`)) return null;
  return `${match[1]!.toLowerCase()}://${match[2]!.toLowerCase()}${(match[3] ?? "").replace(/\/+$/, "")}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Headers as the OpenTelemetry environment writes them: `k=v,k=v`, values percent-encoded. */
export function environmentHeaders(text: string | undefined): Record<string, string> {
  const found: Record<string, string> = {};
  for (const pair of (text ?? "").split(",")) {
    const at = pair.indexOf("=");
    const name = pair.slice(0, at).trim().toLowerCase();
    if (at > 0 && name) found[name] = decoded(pair.slice(at + 1)).trim();
  }
  return found;
}

function protocolOf(endpoint: string, named: (string | undefined)[]): string {
  const [scheme, rest = ""] = endpoint.split("://");
  if (scheme!.endsWith("+ops")) return "ops";
  if (rest.includes("/")) return "http/protobuf";
  const known = named.map((name) => name?.trim()).find((name) => name && PROTOCOLS.includes(name));
  return known ?? (/:4318$/.test(rest) ? "http/protobuf" : "grpc");
}

/**
 * The destination that options or environment name; null if neither does. For an endpoint of the environment the variables of traces go
 * before those of all signals, each by itself.
 */
export function resolve(
  endpoint: string | undefined,
  protocol: string | undefined,
  headers: Record<string, string> | undefined,
  env: Environment,
): Destination | null {
  const common = env["OTEL_EXPORTER_OTLP_ENDPOINT"]?.trim();
  const traces = env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]?.trim().replace(/\/+$/, "").replace(/\/v1\/traces$/, "");
  const ofTraces = !endpoint;
  const named = endpoint || traces || common;
  if (!named) return null;
  const clean = normalised(String(named));
  if (clean === null) {
    log.once(`endpoint ${named}`, "the OTLP endpoint is not an address like http://host:4317; nothing is sent until it is");
    return null;
  }
  const names = [protocol, ofTraces ? env["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] : undefined, env["OTEL_EXPORTER_OTLP_PROTOCOL"]];
  const own = Object.entries(headers ?? {}).map(([name, value]) => [name.trim().toLowerCase(), String(value).trim()]);
  const merged = {
    ...environmentHeaders(env["OTEL_EXPORTER_OTLP_HEADERS"]),
    ...(ofTraces ? environmentHeaders(env["OTEL_EXPORTER_OTLP_TRACES_HEADERS"]) : {}),
    ...(Object.fromEntries(own) as Record<string, string>),
  };
  return new Destination(clean, protocolOf(clean, names), merged);
}

/** The one lane that has this project, else the lane without a destination. */
export function onlyLane(state: string, projectDirectory: string): string {
  const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  let names: string[];
  try {
    names = readdirSync(join(state, "lanes"));
  } catch {
    return NOWHERE;
  }
  const lanes = names.filter((name) => name !== NOWHERE && !name.startsWith("."));
  const having = lanes.filter((name) => isDirectory(join(state, "lanes", name, "spool", projectDirectory)));
  return having.length === 1 ? having[0]! : NOWHERE;
}
