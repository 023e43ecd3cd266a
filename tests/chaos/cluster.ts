// A cluster of real processes whose whole network runs through the proxies of network.ts: servers know each
// other by their own addresses and dial what a dial map tells. Invariant: signals go only to processes that
// this cluster started and that still own their data directory. Page: docs/testing.md, "Chaos".

import { LocalCluster } from "../../roles/onebox/local_cluster.ts";
import { Probe } from "../../roles/onebox/probe.ts";
import { pathsOf, signal, waitFor } from "../../roles/onebox/processes.ts";
import { planServers } from "../../roles/onebox/state.ts";
import { Cluster } from "../../src/client/mod.ts";
import type { PartitionConfig } from "../../src/client/mod.ts";
import { TcpRpcClient } from "../../src/rpc/rpc_client.ts";
import { QueryConfig } from "../../src/schema/meta_rpc.ts";
import { TEST_SETTINGS } from "../cluster/harness.ts";
import { Network } from "./network.ts";

/** Name of the application's host in the network. */
export const CLIENT = "c";
export const TABLE = "chaos";
export const PARTITIONS = 8;
const CLUSTER = "chaos";
const MEMBERS = 3;
const HEALTH_MS = 90_000;

/** Small logs and frequent checkpoints, so that a minute sees what usually takes hours. */
const CHAOS_SETTINGS: Readonly<Record<string, string>> = {
  "rpc-keep-alive": "1s",
  "prepare-timeout": "1s",
  "group-check-interval": "2s",
  "checkpoint-interval": "3s",
  "private-log-segment-bytes": "64KiB",
  "private-log-reserve-bytes": "64KiB",
  "shared-log-segment-bytes": "256KiB",
  "log-level": "info",
};

/** A running cluster: m1, r1, r2, ... */
export class ChaosCluster {
  readonly dir: string;
  readonly network = new Network();
  readonly replicas: readonly string[];
  /** Talks to servers past the proxies, for the driver's own questions. */
  readonly direct = new TcpRpcClient({ identity: { cluster: CLUSTER, node: "", role: "driver" } });
  readonly #local: LocalCluster;
  readonly #clientMap: ReadonlyMap<string, string>;

  private constructor(dir: string, replicas: number) {
    this.dir = dir;
    const config = `${dir}/pegasus.toml`;
    const settings = Object.entries({ ...TEST_SETTINGS, ...CHAOS_SETTINGS });
    const lines = settings.map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
    Deno.writeTextFileSync(config, lines.join(""));
    const flags = [`--config=${config}`];
    this.#local = new LocalCluster({
      dir,
      cluster: CLUSTER,
      flags: { meta: flags, replica: flags },
      flagsOf: (name) => [`--dial-map=${dir}/${name}.dial.json`],
    });
    this.#local.plan(withPorts(planServers(1, replicas, 0)));
    const { servers } = this.#local.state;
    this.replicas = servers.filter(({ role }) => role === "replica").map(({ name }) => name);
    const mapOf = (from: string) =>
      new Map(
        servers.filter(({ name }) => name !== from)
          .map(({ name, address }) => [address, this.network.proxy(from, name, address)]),
      );
    for (const { name } of servers) {
      const map = JSON.stringify(Object.fromEntries(mapOf(name)));
      Deno.writeTextFileSync(`${dir}/${name}.dial.json`, map);
    }
    this.#clientMap = mapOf(CLIENT);
  }

  /** Starts everything and creates the table. */
  static async start(dir: string, replicas: number): Promise<ChaosCluster> {
    const cluster = new ChaosCluster(dir, replicas);
    try {
      await cluster.#local.startAll();
      const probe = new Probe(CLUSTER, cluster.#local.metas);
      try {
        await probe.waitForNodes(replicas, HEALTH_MS);
        await probe.createTable(TABLE, PARTITIONS, MEMBERS);
      } finally {
        await probe.close();
      }
      await cluster.waitForHealth();
      return cluster;
    } catch (error) {
      await cluster.destroy();
      throw error;
    }
  }

  /** All hosts but `name`, the application included. */
  othersOf(name: string): string[] {
    return ["m1", ...this.replicas, CLIENT].filter((other) => other !== name);
  }

  addressOf(name: string): string {
    return this.#local.entry(name).address;
  }

  /** The name behind an address. */
  nameOf(address: string): string {
    const entry = this.#local.state.servers.find((server) => server.address === address);
    if (entry === undefined) throw new Error(`No server has the address ${address}`);
    return entry.name;
  }

  dataDirOf(name: string): string {
    return pathsOf(this.dir, name).dataDir;
  }

  /** A client library whose connections go through the proxies. */
  openClient(timeoutMs: number): Cluster {
    const identity = { cluster: CLUSTER, node: "", role: "client" };
    const rpc = new TcpRpcClient({ identity, dialMap: this.#clientMap });
    return new Cluster(rpc, { meta: this.#local.metas, timeoutMs });
  }

  /** SIGKILL. */
  async kill(name: string): Promise<void> {
    if (!(await this.#local.kill(name))) throw new Error(`"${name}" had ended by itself`);
  }

  /** SIGTERM, and waits for the end. */
  async stop(name: string): Promise<void> {
    if (!(await this.#local.stop(name))) throw new Error(`"${name}" had ended by itself`);
  }

  start(name: string): Promise<void> {
    return this.#local.start(name);
  }

  killAll(): Promise<void> {
    return this.#local.killAll();
  }

  startAll(): Promise<void> {
    return this.#local.startAll();
  }

  /** SIGSTOP. */
  pause(name: string): void {
    this.#signal(name, "SIGSTOP");
  }

  /** SIGCONT. */
  resume(name: string): void {
    this.#signal(name, "SIGCONT");
  }

  /** Configurations of the table in the order of partitions. */
  async configs(): Promise<readonly PartitionConfig[]> {
    const request = { table: TABLE, indices: [] };
    const { partitions } = await this.direct.call(this.addressOf("m1"), QueryConfig, request, 2000);
    return partitions;
  }

  /** Waits until every partition has all its members. @throws {Error} After a while, with what is missing. */
  async waitForHealth(): Promise<void> {
    let seen: readonly PartitionConfig[] = [];
    const isWhole = async () => {
      seen = await this.configs().catch(() => []);
      return seen.length === PARTITIONS &&
        seen.every((config) => config.primary !== "" && config.secondaries.length + 1 >= MEMBERS);
    };
    if (await waitFor(isWhole, HEALTH_MS, 100)) return;
    throw new Error(`The table is not healthy after ${HEALTH_MS} ms: ${JSON.stringify(seen)}`);
  }

  /** Stops politely. @throws {Error} If a server had ended by itself. */
  async end(): Promise<void> {
    const all = this.#local.state.servers.map(({ name }) => name).filter((name) => name !== "m1");
    for (const name of [...all, "m1"]) await this.stop(name);
    await this.destroy();
  }

  /** Kills everything and ends the network. */
  async destroy(): Promise<void> {
    await this.#local.killAll();
    await this.direct.close();
    await this.network.close();
  }

  #signal(name: string, what: Deno.Signal): void {
    if (signal(this.#local.entry(name).pid, this.dataDirOf(name), what)) return;
    throw new Error(`"${name}" had ended by itself`);
  }
}

/** Proxies must know the addresses before the servers start. The ports are held until all are chosen. */
export function withPorts(servers: ReturnType<typeof planServers>): ReturnType<typeof planServers> {
  const held = servers.map(() => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
  const planned = servers.map((server, i) => ({
    ...server,
    address: `127.0.0.1:${held[i]!.addr.port}`,
  }));
  for (const listener of held) listener.close();
  return planned;
}
