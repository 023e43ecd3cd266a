// `pegasus meta`: from settings to a running meta server (meta/main_meta.ts) over the store embedded in
// its data directory, or over ZooKeeper.

import type { Settings } from "../src/config/settings.ts";
import { callbackOf } from "../src/observe/logger.ts";
import type { MetaSettings } from "../src/placement/io.ts";
import type { RpcClient } from "../src/rpc/contract.ts";
import { AccessBook } from "../src/rpc/access_book.ts";
import { TcpRpcClient } from "../src/rpc/rpc_client.ts";
import { TcpRpcServer } from "../src/rpc/rpc_server.ts";
import { acceptSecurity, serverDialSecurity } from "../src/rpc/security.ts";
import { probe } from "../src/rpc/tcp_transport.ts";
import { callAudit } from "./audit.ts";
import { dashboardHandlers } from "./http/dashboard/handlers.ts";
import { RecentChanges } from "./http/dashboard/recent_changes.ts";
import { readDialMap } from "./dial_map.ts";
import { metaHandlers, metaReadiness } from "./http/meta_paths.ts";
import { DASHBOARD_ROUTES, META_ROUTES } from "./http/routes.ts";
import { type RunningMeta, startMeta } from "./meta/main_meta.ts";
import { runStateAction, stateAction } from "./meta_state.ts";
import { openCoordinator } from "./meta_store.ts";
import { UserSource } from "./meta/user_source.ts";
import { MetaMetrics } from "./meta/meta_metrics.ts";
import { Watching } from "./meta/watching.ts";
import { processCommands } from "./remote_commands.ts";
import { RequestMetrics } from "./request_metrics.ts";
import { runServer, type ServerProcess } from "./server_process.ts";
import { VERSION } from "./version.ts";

const STATE_HELP =
  "With --export <file> or --import <file> it copies its state out of a store or into an " +
  "empty one,\nand ends: see docs/meta.md.";

/** Runs the role. @returns The exit code, or `undefined` while it serves. */
export function runMeta(brief: string, args: readonly string[]): Promise<number | undefined> {
  const action = stateAction(args);
  if (action !== undefined) return runStateAction(action);
  return runServer("meta", `${brief}\n\n${STATE_HELP}`, args, assemble);
}

async function assemble(process: ServerProcess): Promise<string> {
  const { settings, live, log, lifecycle, http, metrics: registry, security, audit } = process;
  const { listen, advertise } = settings.metaServer;
  // The core looks at this object whenever it decides something: a new value counts from then on.
  const decisions = decisionsOf(settings);
  live.onChange((next) => Object.assign(decisions, decisionsOf(next)));
  const { cluster } = settings.process;
  const dialMap = readDialMap(settings.process.dialMap, Deno.readTextFileSync);
  const network = { settings: settings.rpc, log: callbackOf(log.logger("meta.rpc")) };
  const identity = { cluster, role: "meta" };
  const observer = new RequestMetrics(registry.live.requests);
  const metrics = new MetaMetrics(registry.live.meta);
  const changes = new RecentChanges();
  const coordinator = await openCoordinator(settings, callbackOf(log.logger("meta.zookeeper")));
  const dial = serverDialSecurity(security);
  const openClient = (node: string) =>
    new TcpRpcClient({ ...network, identity: { ...identity, node }, dialMap, dial });
  let commands = processCommands({ role: "meta", live, metricsText: () => registry.text() });
  const book = new AccessBook(security.clusterSecret);
  const users = new UserSource(book, coordinator, log.logger("meta"));
  const server = new TcpRpcServer({
    ...network,
    identity: { ...identity, node: "" },
    observer,
    accept: acceptSecurity(security, book),
    audit: callAudit(audit),
  });
  const meta = await startMeta({
    listen,
    advertise,
    cluster,
    coordinator,
    settings: decisions,
    openServer: () => server,
    openClient,
    commands: () => commands,
    probe: (address) => probe(address, network.settings.connectTimeoutMs),
    httpPort: http?.port ?? 0,
    version: VERSION,
    logger: log.logger("meta"),
    onFatal: (reason) => lifecycle.fail(reason),
    onNote: (event, details) => {
      metrics.noted(event);
      changes.noted(event, details);
      if (event === "users" || event === "leading") users.changed();
    },
  });
  lifecycle.onStop("meta server", () => meta.close());
  if (security.auth !== "off") {
    users.start(meta.core);
    lifecycle.onStop("users", () => users.stop());
  }
  const watching = openWatching(process, meta, () => openClient(meta.address));
  commands = { ...commands, ...watching.commands };
  registry.onScrape(async () => {
    registry.live.requests.connections.child().set(server.connectionCount);
    await metrics.collect(meta.core, meta.ask);
    await watching.collect();
  });
  http?.add(META_ROUTES, metaHandlers({ ...meta, watching }));
  const dashboard = dashboardHandlers({ ...meta, watching, changes: () => changes.list() });
  http?.add(DASHBOARD_ROUTES, dashboard);
  http?.setReadiness(() => metaReadiness(meta));
  return meta.address;
}

function openWatching(
  { live, lifecycle, log, metrics: registry }: ServerProcess,
  { ask, address }: RunningMeta,
  openClient: () => RpcClient,
): Watching {
  const settings = { ...live.settings.collector };
  live.onChange((next) => Object.assign(settings, next.collector));
  const logger = log.logger("meta.watching");
  const metrics = registry.live.meta;
  const watching = new Watching({ ask, address, openClient, settings, metrics, logger });
  lifecycle.onStop("watch over load", () => watching.close());
  return watching;
}

/** Settings as the core wants them. */
function decisionsOf({ placement, detector }: Settings): MetaSettings {
  const { dropReserveMs, ...rest } = placement;
  const { leaseMs, graceMs } = detector;
  return { ...rest, leaseMs, graceMs, dropReserveSeconds: Math.floor(dropReserveMs / 1000) };
}
