// Directories of the spool: which state directory, made private and without following links.

import {
  closeSync, constants, existsSync, fsyncSync, lstatSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, statSync,
  unlinkSync, writeFileSync,
} from "node:fs";
import { randomBytes } from "node:crypto";
import { homedir, tmpdir } from "node:os";
import { dirname, isAbsolute, join, resolve } from "node:path";

import { type Destination, type Environment, sha } from "./destination.js";
import { SpoolUnavailable } from "./errors.js";

const CAP_BYTES = 1024 * 1024 * 1024;
export const NEW_FILE =
  constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);

const uid = (): number => process.geteuid?.() ?? 0;

/** The directory of a project: percent-encoded, or a hash where that would be too long for a file name. */
export function directoryName(project: string): string {
  const encode = (text: string): string =>
    Array.from(Buffer.from(text), (byte) => {
      const c = String.fromCharCode(byte);
      return /[A-Za-z0-9\-._~]/.test(c) ? c : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    }).join("");
  const name = encode(project).replace(/^\./, "%2E");
  return name.length <= 200 ? name : `%${sha("project", project).slice(0, 32)}`;
}

/** Places for the state directory in order of preference. One that was named has no alternative. */
export function* candidates(given: string | undefined, env: Environment): Generator<string> {
  const named = given || env["CONTEXTCORE_STATE_DIR"];
  if (named) {
    yield resolve(named);
    return;
  }
  // A relative one is not used, as the specification of these directories says.
  if (isAbsolute(env["XDG_STATE_HOME"] ?? "")) yield join(env["XDG_STATE_HOME"]!, "contextcore");
  const home = env["HOME"] || homedir();
  if (isAbsolute(home)) yield join(home, ".local", "state", "contextcore");
  yield resolve(env["TMPDIR"] || tmpdir(), `contextcore-${uid()}`);
}

/** The project that `CONTEXTCORE_PROJECT`, or else the file `.contextcore/project` here or above, names. */
export function namedProject(env: Environment): string | undefined {
  if (env["CONTEXTCORE_PROJECT"]) return env["CONTEXTCORE_PROJECT"];
  try {
    for (let above = process.cwd(); ; above = dirname(above)) {
      const path = join(above, ".contextcore", "project");
      if (existsSync(path)) {
        const lines = readFileSync(path, "utf8").split(/\r?\n/).map((line) => line.trim());
        return lines.find((line) => line !== "" && !line.startsWith("#"));
      }
      if (dirname(above) === above) return undefined;
    }
  } catch {
    return undefined;
  }
}

/** Makes a directory if it is missing, so that it survives a power failure if `durable`; refuses links and directories of other users. */
export function enter(path: string, durable = false): string {
  if (!existsSync(path)) {
    try {
      mkdirSync(path, { mode: 0o700 });
      if (durable) syncDirectory(dirname(path));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
  const found = lstatSync(path);
  if (!found.isDirectory()) throw new Error(`${path} is a link or no directory`);
  if (process.geteuid && found.uid !== uid()) throw new Error(`${path} belongs to another user`);
  return path;
}

/** The first state directory that can be made and written. */
export function find(given: string | undefined, env: Environment): string {
  const refused: string[] = [];
  for (const path of candidates(given, env)) {
    try {
      mkdirSync(dirname(path), { recursive: true });
      enter(path);
      const probe = join(path, `.probe.${process.pid}.${randomBytes(4).toString("hex")}`);
      closeSync(openSync(probe, NEW_FILE, 0o600));
      unlinkSync(probe);
      return path;
    } catch (error) {
      refused.push(`${path}: ${(error as Error).message}`);
    }
  }
  throw new SpoolUnavailable(`no directory for the spool can be written (${refused.join("; ")})`);
}

/** Whether a `lane.json` says where its lane goes. */
function isDescribed(path: string): boolean {
  try {
    const about: unknown = JSON.parse(readFileSync(path, "utf8"));
    return typeof about === "object" && about !== null && ["v", "endpoint", "protocol", "credentials"].every((name) => name in about);
  } catch {
    return false;
  }
}

/** Makes the names in a directory durable. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Writes `lane.json` where it is missing or cannot be read: where the lines go, without secrets. The file is durable before it gets its
 * name: a helper that met an empty one would leave the lane as it is.
 */
export function describe(lane: string, destination: Destination | null): void {
  const path = join(lane, "lane.json");
  if (destination === null || isDescribed(path)) return;
  const temporary = join(lane, `.lane.json.${process.pid}.${randomBytes(4).toString("hex")}.tmp`);
  try {
    const fd = openSync(temporary, NEW_FILE, 0o600);
    try {
      writeFileSync(fd, `${JSON.stringify(destination.about())}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncDirectory(lane);
}

/** Keeps a lane under its limit: what was taken goes first, then new calls are refused. */
export function makeRoom(spool: string): void {
  let total = 0;
  const done: { path: string; size: number; at: number }[] = [];
  for (const project of readdirSync(spool)) {
    for (const name of readdirSync(join(spool, project))) {
      const path = join(spool, project, name);
      const found = statSync(path, { throwIfNoEntry: false });
      total += found?.size ?? 0;
      if (found && name.endsWith(".done")) done.push({ path, size: found.size, at: found.mtimeMs });
    }
  }
  for (const each of done.sort((a, b) => a.at - b.at)) {
    if (total <= CAP_BYTES) break;
    // A helper may have removed it meanwhile.
    rmSync(each.path, { force: true });
    total -= each.size;
  }
  if (total > CAP_BYTES) {
    throw new SpoolUnavailable(`the spool holds ${total >> 20} MiB that nobody has taken; is \`contextcore drain\` running?`);
  }
}
