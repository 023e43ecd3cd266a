// `pegasus replica`: from settings to a running replica server (replica/main_replica.ts).

import { SERVER_DEFAULTS } from "../src/replication/server_io.ts";
import { readDialMap } from "./dial_map.ts";
import { replicaHandlers } from "./http/replica_paths.ts";
import { REPLICA_ROUTES } from "./http/routes.ts";
import { processCommands } from "./remote_commands.ts";
import { diskFiles } from "../storage/disk_files.ts";
import { AsideCleaner } from "./replica/aside_cleaner.ts";
import { startReplica } from "./replica/main_replica.ts";
import { absolutePath } from "./paths.ts";
import { runServer, type ServerProcess } from "./server_process.ts";
import { VERSION } from "./version.ts";

/** Runs the role. @returns The exit code, or `undefined` while it serves. */
export function runReplica(brief: string, args: readonly string[]): Promise<number | undefined> {
  return runServer("replica", brief, args, assemble);
}

async function assemble(process: ServerProcess): Promise<string> {
  const { settings, live, log, lifecycle, http, metrics: registry, security, audit } = process;
  const { listen, advertise, labels, meta, dataDir, logDir, shardPort } = settings.replicaServer;
  const { dataDirReserveBytes, writeStopFreeBytes } = settings.replicaServer;
  const { beaconIntervalMs, leaseMs } = settings.detector;
  const replica = await startReplica({
    listen,
    advertise,
    labels,
    shards: shardsOf(settings.replicaServer.shards, navigator.hardwareConcurrency),
    shardPort,
    cluster: settings.process.cluster,
    metas: meta,
    dataDirs: dataDir.map(({ tag, path }) => ({ tag, path: absolutePath(path) })),
    dataDirReserveBytes,
    writeStopFreeBytes,
    logDir: logDir === "" ? "" : absolutePath(logDir),
    replication: settings.replication,
    server: { ...SERVER_DEFAULTS, ...settings.contact, beaconIntervalMs, leaseMs },
    logs: settings.logs,
    engine: settings.engine,
    ...settings.expiry,
    scrub: settings.scrub,
    rpc: settings.rpc,
    security,
    audit,
    dialMap: readDialMap(settings.process.dialMap, Deno.readTextFileSync),
    httpPort: http?.port ?? 0,
    version: VERSION,
    commands: processCommands({ role: "replica", live, metricsText: () => registry.text() }),
    logger: log.logger("replica"),
    registry,
    onFault: (error) => lifecycle.abandon(error),
  });
  live.onChange((next) => replica.configure(next.replication));
  const cleaner = new AsideCleaner({
    files: diskFiles,
    dataDirs: () => replica.dataDirs(),
    settings: () => live.settings.aside,
    wall: Date.now,
    logger: log.logger("replica"),
  });
  cleaner.start();
  lifecycle.onStop("replica server", () => replica.close());
  lifecycle.onStop("cleaner", () => cleaner.stop());
  http?.add(
    REPLICA_ROUTES,
    replicaHandlers(() => replica.view(), (...words) => replica.remote(...words)),
  );
  http?.setReadiness(() => replica.readiness());
  return replica.address;
}

/** Below so many cores one thread serves: the others are for clients, compaction and the other servers. */
const CORES_PER_SHARD = 4;
const SHARDS_CHOSEN_MAX = 8;

/** The number of shards for a setting. @param wanted 0 = as many as fit the machine. */
export function shardsOf(wanted: number, cores: number): number {
  if (wanted > 0) return wanted;
  return Math.max(1, Math.min(SHARDS_CHOSEN_MAX, Math.floor(cores / CORES_PER_SHARD)));
}
