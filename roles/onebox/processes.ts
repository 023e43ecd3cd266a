// Servers of a onebox as processes of their own: in a session of their own, so that Ctrl-C in the
// terminal reaches only the one who supervises, and with their output in a file, so that they outlive the
// command that started them. Invariant: a signal is sent only to a process that is known to be ours, by
// the data directory in its command line; a process id that the system gave to somebody else is "gone".

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { V8_FLAGS } from "../v8_flags.ts";

/** Where a server keeps its things, below the directory of the onebox. */
export interface ServerPaths {
  readonly dataDir: string;
  readonly outputFile: string;
}

/** Paths of the server `name`. `dir` is absolute. */
export function pathsOf(dir: string, name: string): ServerPaths {
  return { dataDir: `${dir}/${name}/data`, outputFile: `${dir}/${name}/log/server.log` };
}

// What a server may do. No --allow-run: only the onebox starts processes.
const PERMISSIONS = [
  "--no-prompt",
  "--allow-read",
  "--allow-write",
  "--allow-net",
  "--allow-env",
  "--allow-sys",
  `--allow-ffi=${decodeURIComponent(new URL("../../node_modules", import.meta.url).pathname)}`,
];

/** Time in which a new process must show its command line; it takes about a millisecond. */
const APPEAR_MS = 5000;

/** Set by the self-extracting file (roles/build/package.ts): its own path. */
const PACKAGE_VARIABLE = "PEGASUS_PACKAGE";

/** How people call this program. */
export function selfName(): string {
  if (Deno.build.standalone || Deno.env.get(PACKAGE_VARIABLE) !== undefined) return "pegasus";
  // Who came through npx may have no other Deno.
  const isNpx = Deno.env.get("npm_command") === "exec";
  return isNpx ? `npx -y deno@${Deno.version.deno} task` : "deno task";
}

/** The command that runs this same program in another role, from sources or compiled. */
function selfCommand(): { command: string; args: string[] } {
  const packaged = Deno.env.get(PACKAGE_VARIABLE);
  if (packaged !== undefined) return { command: packaged, args: [] };
  const command = Deno.execPath();
  // Given Deno's own path word for word, node:child_process takes the flags for those of Node.js and adds
  // "run" in front (Deno 2.4); the same path written otherwise is left alone.
  if (Deno.build.standalone) return { command: command.replace(/\/([^/]*)$/, "/./$1"), args: [] };
  const main = new URL("../main.ts", import.meta.url);
  return { command, args: ["run", "--quiet", V8_FLAGS, ...PERMISSIONS, main.pathname] };
}

/**
 * Starts a server and lets it run.
 *
 * @param args Role and flags; one of them must be `--data-dir=` and the server's data directory, or a list that
 * begins with it.
 * @param record Takes the process id as soon as there is one, before anything is waited for. If it throws, the process
 * ends: nobody would ever find it again.
 * @returns Its process id, and the length of the output file before it started.
 * @throws {Error} If the process cannot be made, or what `record` throws.
 */
export async function launch(
  paths: ServerPaths,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  record: (pid: number) => void,
): Promise<{ pid: number; outputStart: number }> {
  Deno.mkdirSync(paths.dataDir, { recursive: true });
  Deno.mkdirSync(paths.outputFile.replace(/\/[^/]*$/, ""), { recursive: true });
  const output = Deno.openSync(paths.outputFile, { append: true, create: true });
  const outputStart = output.statSync().size;
  output.close();
  const descriptor = openSync(paths.outputFile, "a");
  try {
    const self = selfCommand();
    const child = spawn(self.command, [...self.args, ...args], {
      detached: true,
      stdio: ["ignore", descriptor, descriptor],
      env: { ...Deno.env.toObject(), NO_COLOR: "1", ...env },
    });
    let hasExited = false;
    child.once("exit", () => hasExited = true);
    const spawned = new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
    if (child.pid !== undefined) recordOrEnd(child, record);
    await spawned;
    const pid = child.pid!;
    // For a moment a new process has no command line yet, and would pass for somebody else's.
    await waitFor(() => hasExited || isRunning(pid, paths.dataDir), APPEAR_MS, 5);
    child.unref();
    return { pid, outputStart };
  } finally {
    closeSync(descriptor);
  }
}

function recordOrEnd(child: ChildProcess, record: (pid: number) => void): void {
  try {
    record(child.pid!);
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}

/** Whether `pid` runs and is the server that owns `dataDir`. A process that ended but was not reaped does not. */
export function isRunning(pid: number, dataDir: string): boolean {
  const flag = `--data-dir=${dataDir}`;
  return pid > 0 && commandLine(pid).some((word) => word === flag || word.startsWith(`${flag},`));
}

// Deno itself reads /proc only for processes that may do everything, hence the two small programs (2 ms).
function commandLine(pid: number): string[] {
  const isLinux = Deno.build.os === "linux";
  const command = isLinux
    ? new Deno.Command("cat", { args: [`/proc/${pid}/cmdline`] })
    : new Deno.Command("ps", { args: ["-o", "command=", "-p", String(pid)] });
  const text = new TextDecoder().decode(command.outputSync().stdout);
  return isLinux ? text.split("\0") : text.trim().split(" ");
}

/** Sends a signal if the process is still ours. @returns Whether it was sent. */
export function signal(pid: number, dataDir: string, name: Deno.Signal): boolean {
  if (!isRunning(pid, dataDir)) return false;
  try {
    Deno.kill(pid, name);
    return true;
  } catch (error) {
    // It ended between the look and the signal.
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Output of a server from byte `start` on; what is before it, perhaps much, is not read. */
export function outputFrom(paths: ServerPaths, start: number): string {
  try {
    using file = Deno.openSync(paths.outputFile);
    file.seekSync(start, Deno.SeekMode.Start);
    const bytes = new Uint8Array(Math.max(0, file.statSync().size - start));
    let length = 0;
    while (length < bytes.length) {
      const read = file.readSync(bytes.subarray(length));
      if (read === null) break;
      length += read;
    }
    return new TextDecoder().decode(bytes.subarray(0, length));
  } catch {
    return "";
  }
}

/** Asks `condition` until it holds. @returns False when `timeoutMs` passed first. */
export async function waitFor(
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
  pauseMs = 25,
): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() >= end) return false;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return true;
}
