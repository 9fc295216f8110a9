// What a process says of itself by the environment of OpenTelemetry; docs/SPOOL.md is the format.

import type { Environment } from "./destination.js";

const SERVICE = "service.name";
// Not more attributes, and not longer ones: longer names are left out, longer values cut.
const MOST = 32;
const LONGEST = 255;

/** Without its percent-encoding; empty where that is none. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text.trim());
  } catch {
    return "";
  }
}

/** The attributes of `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`, sorted by name; what is no pair is left out. */
export function resource(env: Environment): Record<string, string> {
  const found = new Map<string, string>();
  const add = (name: string, value: string): void => {
    const characters = Array.from(value);
    if (!name || !value || Array.from(name).length > LONGEST || (found.size >= MOST && !found.has(name))) return;
    found.set(name, characters.length > LONGEST ? characters.slice(0, LONGEST).join("") : value);
  };
  const service = (env["OTEL_SERVICE_NAME"] ?? "").trim();
  add(SERVICE, service);
  for (const pair of (env["OTEL_RESOURCE_ATTRIBUTES"] ?? "").split(",")) {
    const [name, ...value] = pair.split("=");
    const plain = decoded(name!);
    if (plain !== SERVICE || !service) add(plain, decoded(value.join("=")));
  }
  return Object.fromEntries([...found].sort(([one], [other]) => (one < other ? -1 : 1)));
}
