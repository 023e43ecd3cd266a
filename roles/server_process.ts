// What all server roles share: settings from flags and file, the log, the lifecycle, and one line on
// stdout that tells the address once the server listens. The line is for programs that start servers:
//   pegasus replica ready at 127.0.0.1:34801            (--log-format text)
//   {"ready":"replica","address":"127.0.0.1:34801"}     (--log-format json)

import type { ServerRole } from "../src/config/group.ts";
import { roleHelp } from "../src/config/help.ts";
import { LiveSettings } from "../src/config/live.ts";
import { loadSettings } from "../src/config/load.ts";
import type { Settings } from "../src/config/settings.ts";
import { type Log, openLog } from "../src/observe/log.ts";
import type { MetricRegistry } from "../src/observe/metric.ts";
import { type METRICS, openMetrics } from "../src/observe/metrics.ts";
import type { Logger } from "../src/observe/logger.ts";
import type { SecurityOptions } from "../src/rpc/security.ts";
import { type AuditSink, openAudit } from "./audit.ts";
import { fileProblem } from "./file_problem.ts";
import { type HttpSide, startHttp } from "./http/main_http.ts";
import { Lifecycle } from "./lifecycle.ts";
import { LogFile } from "./log_file.ts";
import { absolutePath } from "./paths.ts";
import { exposures, loadSecurity, looseMode } from "./security.ts";
import { VERSION } from "./version.ts";

/** What a server role is started with. */
export interface ServerProcess {
  /** As they were at the start. */
  readonly settings: Settings;
  /** As they are, for the few that change. */
  readonly live: LiveSettings;
  readonly log: Log;
  readonly security: SecurityOptions;
  /** Where changes and refused callers are kept. */
  readonly audit: AuditSink;
  readonly lifecycle: Lifecycle;
  readonly metrics: MetricRegistry<typeof METRICS>;
  /** Absent with `--http none`. */
  readonly http: HttpSide | undefined;
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
  let log: Log;
  try {
    log = openProcessLog(settings);
  } catch (error) {
    // There is no log yet that could say it.
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  }
  const logger = log.logger(role);
  const live = new LiveSettings(role, settings);
  const lifecycle = new Lifecycle(logger, () => serverOf(role, live.settings).stopTimeoutMs);
  live.onChange(({ process: { logLevel } }) => log.setLevel(logLevel));
  const metrics = openMetrics();
  try {
    const security = loadSecurity(settings);
    const audit = openAudit(settings.security.auditFile, log.logger("audit"));
    warnOfExposure(role, settings, security, logger);
    const http = await openHttp(role, live, log, metrics, security, audit);
    // Stops last: whoever waits for the end of the process can watch it.
    if (http !== undefined) lifecycle.onStop("HTTP", () => http.close());
    const shared = { settings, live, log, lifecycle, metrics };
    const address = await assemble({ ...shared, http, security, audit });
    announce(role, address, settings.process.logFormat);
    logger.info("Ready", { address, cluster: settings.process.cluster, pid: Deno.pid });
    return undefined;
  } catch (error) {
    logger.error("Cannot start", isExpected(error) ? { reason: error.message } : { error });
    await lifecycle.stop();
    return 1;
  }
}

function warnOfExposure(
  role: ServerRole,
  settings: Settings,
  security: SecurityOptions,
  logger: Logger,
): void {
  const { http: listen, adminTokenFile } = settings.process;
  const { clusterSecretFile, tlsKey } = settings.security;
  const server = serverOf(role, settings);
  const http = { listen, hasToken: adminTokenFile !== "" };
  const found = exposures(security, server.listen, http);
  found.push(...[adminTokenFile, clusterSecretFile, tlsKey].map(looseMode));
  for (const text of found) if (text !== "") logger.warn(text);
}

function serverOf(role: ServerRole, settings: Settings) {
  return role === "meta" ? settings.metaServer : settings.replicaServer;
}

/** A directory in use or a taken port is no bug: its message says all there is. */
function isExpected(error: unknown): error is Error {
  return error instanceof Error && error.message.startsWith("Cannot ");
}

async function openHttp(
  role: ServerRole,
  live: LiveSettings,
  log: Log,
  registry: MetricRegistry<typeof METRICS>,
  { tls }: SecurityOptions,
  audit: AuditSink,
): Promise<HttpSide | undefined> {
  const { http: listen, adminTokenFile, cluster } = live.settings.process;
  if (listen === "none") return undefined;
  const adminToken = adminTokenFile === "" ? "" : Deno.readTextFileSync(adminTokenFile).trim();
  if (adminTokenFile !== "" && adminToken === "") {
    throw new Error(`The admin token file "${adminTokenFile}" is empty`);
  }
  const logger = log.logger(`${role}.http`);
  const http = await startHttp({
    listen,
    adminToken,
    role,
    cluster,
    version: VERSION,
    live,
    registry,
    logger,
    audit,
    tls,
  });
  logger.info("HTTP listens", { address: http.address, readOnly: adminToken === "" });
  return http;
}

function announce(role: ServerRole, address: string, format: "text" | "json"): void {
  console.log(
    format === "json"
      ? JSON.stringify({ ready: role, address })
      : `pegasus ${role} ready at ${address}`,
  );
}

/** @throws {Error} If there is a log file and it cannot be opened. */
function openProcessLog(settings: Settings): Log {
  const { logLevel, logFormat } = settings.process;
  const file = openLogFile(settings, (error) => {
    const details = { path: settings.process.logFile, error: String(error) };
    log.logger("log").warn("The log file cannot be put aside and grows on", details);
  });
  const encoder = new TextEncoder();
  const write = (line: string) => {
    if (file !== undefined) return file.write(line);
    try {
      Deno.stderr.writeSync(encoder.encode(line));
    } catch {
      // A closed pipe loses the line, not the server.
    }
  };
  const monotonicMs = () => performance.now();
  const log = openLog({ level: logLevel, format: logFormat, write, monotonicMs });
  return log;
}

/** @throws {Error} If it cannot be opened. */
function openLogFile(
  { process }: Settings,
  onStuck: (error: unknown) => void,
): LogFile | undefined {
  const { logFile, logFileBytesMax: bytesMax, logFilesMax: filesMax } = process;
  if (logFile === "") return undefined;
  const path = absolutePath(logFile);
  try {
    return new LogFile({ path, bytesMax, filesMax, now: () => performance.now(), onStuck });
  } catch (error) {
    throw fileProblem("write", `the file "${path}" of --log-file`, error);
  }
}
