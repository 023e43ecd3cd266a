// A meta server, put together: network, store, core, driver. It listens before it joins the
// election, so that it can name the leader from the first moment.

import { type Clock, systemClock } from "../../src/base/clock.ts";
import type { Coordinator } from "../../src/coordination/coordinator.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { MetaNote, MetaSettings } from "../../src/placement/io.ts";
import { MetaCore } from "../../src/placement/meta.ts";
import type { RpcClient, RpcServer } from "../../src/rpc/contract.ts";
import { ServerInfo } from "../../src/schema/client_rpc.ts";
import { RemoteCommand } from "../../src/schema/meta_rpc.ts";
import { nodeName } from "../node_name.ts";
import type { RemoteCommands } from "../remote_commands.ts";
import { registerHandlers } from "./handlers.ts";
import { askOf, type MetaAsk } from "./meta_ask.ts";
import { MetaDriver } from "./meta_driver.ts";

/** Requests that run when the server stops get so long to end. */
const CLOSE_GRACE_MS = 500;

/** How long another meta server may take to say who it is. */
const INFO_TIMEOUT_MS = 1000;

/** What a meta server is started with. */
export interface MetaServerOptions {
  /** "host:port" to listen on; port 0 takes a free one. */
  readonly listen: string;
  /** See {@link nodeName}. @default `listen` */
  readonly advertise?: string;
  readonly cluster: string;
  /** "host:port" of every meta server, for people; absent = this one. */
  readonly metas?: readonly string[];
  /** Closed by this server. */
  readonly coordinator: Coordinator;
  readonly settings: MetaSettings;
  /** Makes the listening side; not yet listening. */
  readonly openServer: () => RpcServer;
  /** Makes the dialing side. `node`: the server's name. */
  readonly openClient: (node: string) => RpcClient;
  /** Whether anybody listens on an address. @default nobody knows */
  readonly probe?: (address: string) => Promise<"listening" | "refused" | "unknown">;
  /** Told to whoever asks; 0 = no HTTP. @default 0 */
  readonly httpPort?: number;
  readonly version?: string;
  /** Maintenance commands of the process and of what watches the cluster. @default none */
  readonly commands?: () => RemoteCommands;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** The process should end: the store failed. @default nothing */
  readonly onFatal?: (reason: string) => void;
  /** Something happened inside the core. @default nothing */
  readonly onNote?: (event: MetaNote, details: Readonly<Record<string, unknown>>) => void;
}

/** A started meta server. */
export interface RunningMeta {
  /** "host:port" that others reach it at, its name in the cluster. */
  readonly address: string;
  readonly core: MetaCore;
  /** Asks the core as a client would. */
  readonly ask: MetaAsk;
  /** HTTP port of another meta server, 0 = none or it does not answer. */
  httpPortOf(address: string): Promise<number>;
  /** Runs a maintenance command on another server. @throws {StoreError} */
  remote(address: string, command: string, words: readonly string[]): Promise<string>;
  /** Stops leading, closes network and store. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts a meta server; resolves when it listens. It leads once it is elected and has read its
 * store.
 *
 * @throws {Error} If the address cannot be listened on.
 */
export async function startMeta(options: MetaServerOptions): Promise<RunningMeta> {
  const { coordinator, settings, logger, clock = systemClock } = options;
  const server = options.openServer();
  const bound = await server.listen(options.listen).catch(async (error) => {
    await coordinator.close();
    throw error;
  });
  // From here to the last handler without a pause: no request finds a handler missing.
  const address = nodeName(options, bound);
  const core = new MetaCore({
    self: address,
    cluster: options.cluster,
    metaServers: options.metas ?? [address],
    coordinator: coordinator.description,
    settings,
  });
  const client = options.openClient(address);
  const onFatal = options.onFatal ?? (() => {});
  const probe = options.probe ?? (() => Promise.resolve("unknown" as const));
  const driver = new MetaDriver({
    ...{ core, coordinator, client, clock, logger, probe, onFatal },
    ...(options.onNote === undefined ? {} : { onNote: options.onNote }),
  });
  server.onDisconnect = (node) => driver.deliver({ kind: "connectionLost", node });
  const startedAt = Math.floor(clock.now().wall);
  const { version = "", httpPort = 0 } = options;
  const commands = options.commands ?? (() => ({}));
  registerHandlers(server, driver, { version, startedAt, httpPort }, commands);
  driver.start(address);
  logger.info("Meta server started", { address, coordinator: coordinator.description });
  const close = async () => {
    // The store first: the next leader need not wait for what this one still has to close.
    driver.resign();
    await coordinator.close();
    await server.close(CLOSE_GRACE_MS);
    driver.stop();
    await client.close();
  };
  const httpPortOf = (other: string) =>
    client.call(other, ServerInfo, {}, INFO_TIMEOUT_MS).then((info) => info.httpPort, () => 0);
  const remote = async (other: string, command: string, words: readonly string[]) =>
    (await client.call(other, RemoteCommand, { command, args: [...words] }, INFO_TIMEOUT_MS))
      .output;
  let closing: Promise<void> | undefined;
  const ask = askOf(driver);
  return { address, core, ask, httpPortOf, remote, close: () => closing ??= close() };
}
