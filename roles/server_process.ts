// What all server roles share: settings from flags and file, the log, the lifecycle, and one line on
// stdout that tells the address once the server listens. The line is for programs that start servers:
//   pegasus replica ready at 127.0.0.1:34801            (--log-format text)
//   {"ready":"replica","address":"127.0.0.1:34801"}     (--log-format json)

import type { ServerRole } from "../src/config/group.ts";
import { roleHelp } from "../src/config/help.ts";
import { loadSettings } from "../src/config/load.ts";
import type { Settings } from "../src/config/settings.ts";
import { type Log, openLog } from "../src/observe/log.ts";
import { Lifecycle } from "./lifecycle.ts";

/** What a server role is started with. */
export interface ServerProcess {
  readonly settings: Settings;
  readonly log: Log;
  readonly lifecycle: Lifecycle;
}

/** Assembles and starts a server. @returns The bound "host:port". */
export type Assemble = (process: ServerProcess) => Promise<string>;

/**
 * Runs a server role until a signal ends the process.
 *
 * @returns An exit code if the process should end now: 0 after --help, 2 for wrong flags, 1 if it cannot
 * start. `undefined` while it serves.
 */
export async function runServer(
  role: ServerRole,
  brief: string,
  args: readonly string[],
  assemble: Assemble,
): Promise<number | undefined> {
  const loaded = loadSettings(role, args, Deno.readTextFileSync);
  if (loaded.kind === "help") {
    console.log(roleHelp(role, brief));
    return 0;
  }
  if (loaded.kind === "invalid") {
    for (const problem of loaded.problems) console.error(problem);
    return 2;
  }
  const { settings } = loaded;
  const log = openProcessLog(settings);
  const logger = log.logger(role);
  const lifecycle = new Lifecycle(logger);
  try {
    const address = await assemble({ settings, log, lifecycle });
    announce(role, address, settings.process.logFormat);
    logger.info("Ready", { address, cluster: settings.process.cluster, pid: Deno.pid });
    return undefined;
  } catch (error) {
    logger.error("Cannot start", { error });
    await lifecycle.stop();
    return 1;
  }
}

/** A path from the settings, from where the process was started. */
export function absolutePath(path: string): string {
  return path.startsWith("/") ? path : `${Deno.cwd()}/${path}`;
}

function announce(role: ServerRole, address: string, format: "text" | "json"): void {
  console.log(
    format === "json"
      ? JSON.stringify({ ready: role, address })
      : `pegasus ${role} ready at ${address}`,
  );
}

function openProcessLog(settings: Settings): Log {
  const { logLevel, logFormat, logFile } = settings.process;
  const file = logFile === "" ? undefined : Deno.openSync(logFile, { append: true, create: true });
  const encoder = new TextEncoder();
  const write = (line: string) => {
    const bytes = encoder.encode(line);
    try {
      if (file === undefined) Deno.stderr.writeSync(bytes);
      else file.writeSync(bytes);
    } catch {
      // A full disk or a closed pipe loses the line, not the server.
    }
  };
  return openLog({
    level: logLevel,
    format: logFormat,
    write,
    monotonicMs: () => performance.now(),
  });
}
