// `pegasus replica`: from settings to a running replica server (replica/main_replica.ts).

import { SERVER_DEFAULTS } from "../src/replication/server.ts";
import { readDialMap } from "./dial_map.ts";
import { replicaHandlers } from "./http/replica_paths.ts";
import { REPLICA_ROUTES } from "./http/routes.ts";
import { startReplica } from "./replica/main_replica.ts";
import { absolutePath, runServer, type ServerProcess } from "./server_process.ts";
import { VERSION } from "./version.ts";

/** Runs the role. @returns The exit code, or `undefined` while it serves. */
export function runReplica(brief: string, args: readonly string[]): Promise<number | undefined> {
  return runServer("replica", brief, args, assemble);
}

async function assemble(process: ServerProcess): Promise<string> {
  const { settings, live, log, lifecycle, http, metrics: registry } = process;
  const { listen, advertise, labels, meta, dataDir, logDir } = settings.replicaServer;
  const { beaconIntervalMs, leaseMs } = settings.detector;
  // The cores look at this object whenever they decide something: a new value counts from then on.
  const replication = { ...settings.replication };
  live.onChange((next) => Object.assign(replication, next.replication));
  const replica = await startReplica({
    listen,
    advertise,
    labels,
    cluster: settings.process.cluster,
    metas: meta,
    dataDir: absolutePath(dataDir),
    logDir: logDir === "" ? "" : absolutePath(logDir),
    replication,
    server: { ...SERVER_DEFAULTS, ...settings.contact, beaconIntervalMs, leaseMs },
    logs: settings.logs,
    engine: settings.engine,
    ...settings.expiry,
    rpc: settings.rpc,
    dialMap: readDialMap(settings.process.dialMap, Deno.readTextFileSync),
    httpPort: http?.port ?? 0,
    version: VERSION,
    logger: log.logger("replica"),
    registry,
  });
  lifecycle.onStop("replica server", () => replica.close());
  http?.add(REPLICA_ROUTES, replicaHandlers(() => replica.host.view()));
  http?.setReadiness(() => replica.readiness());
  return replica.address;
}
