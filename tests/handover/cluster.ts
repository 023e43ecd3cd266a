// Several meta servers over a real ZooKeeper, and replica servers, as processes whose network runs through the
// proxies of tests/chaos/network.ts: a meta server can be cut from the store, a replica server from some of the
// meta servers. Clients and the driver's own questions go straight. Page: docs/testing.md, "Hand-over".

import { LocalCluster } from "../../roles/onebox/local_cluster.ts";
import { Probe } from "../../roles/onebox/probe.ts";
import { pathsOf, signal } from "../../roles/onebox/processes.ts";
import { planServers } from "../../roles/onebox/state.ts";
import type { PartitionConfig } from "../../src/client/mod.ts";
import { TcpRpcClient } from "../../src/rpc/rpc_client.ts";
import { withPorts } from "../chaos/cluster.ts";
import { Network } from "../chaos/network.ts";
import { TestZooKeeper } from "../zookeeper.ts";

export const STORE = "zk";
export const TABLE = "chaos";
export const PARTITIONS = 8;
export const CLUSTER = "handover";
const ROOT = `/pegasus/${CLUSTER}`;
const HEALTH_MS = 90_000;

/** What runs. */
export interface HandoverClusterOptions {
  readonly dir: string;
  readonly metas: number;
  readonly replicas: number;
  /** By their keys in the file of settings. */
  readonly settings: Readonly<Record<string, string>>;
  /** ZooKeeper's unit of time. */
  readonly tickMs: number;
}

/** A running cluster: m1, m2, ..., r1, r2, ... */
export class HandoverCluster {
  readonly network = new Network();
  readonly store: TestZooKeeper;
  readonly metas: readonly string[];
  readonly replicas: readonly string[];
  /** Talks to servers past the proxies. */
  readonly direct = new TcpRpcClient({ identity: { cluster: CLUSTER, node: "", role: "driver" } });
  readonly probe: Probe;
  readonly #local: LocalCluster;
  readonly #members: number;

  private constructor(options: HandoverClusterOptions, store: TestZooKeeper) {
    const { dir, metas, replicas, settings } = options;
    this.store = store;
    this.#members = Math.min(3, replicas);
    const config = `${dir}/pegasus.toml`;
    const lines = Object.entries(settings).map(([key, value]) => `${key} = "${value}"\n`);
    Deno.writeTextFileSync(config, lines.join(""));
    const flags = [`--config=${config}`];
    const stores = new Map<string, string>();
    this.#local = new LocalCluster({
      dir,
      cluster: CLUSTER,
      flags: { meta: flags, replica: flags },
      flagsOf: (name) =>
        stores.has(name)
          ? [`--coordinator=zookeeper://${stores.get(name)}${ROOT}`]
          : [`--dial-map=${dir}/${name}.dial.json`],
    });
    this.#local.plan(withPorts(planServers(metas, replicas, 0)));
    const { servers } = this.#local.state;
    const named = (wanted: string) =>
      servers.filter(({ role }) => role === wanted).map(({ name }) => name);
    this.metas = named("meta");
    this.replicas = named("replica");
    for (const name of this.metas) stores.set(name, this.network.proxy(name, STORE, store.address));
    for (const from of this.replicas) {
      const others = servers.filter(({ name }) => name !== from);
      const map = others.map(({ name, address }) => [
        address,
        this.network.proxy(from, name, address),
      ]);
      Deno.writeTextFileSync(`${dir}/${from}.dial.json`, JSON.stringify(Object.fromEntries(map)));
    }
    this.probe = new Probe(CLUSTER, this.#local.metas);
  }

  /** Starts everything and creates the table. */
  static async start(options: HandoverClusterOptions): Promise<HandoverCluster> {
    const store = await TestZooKeeper.start({ tickMs: options.tickMs });
    const cluster = new HandoverCluster(options, store);
    try {
      await cluster.#local.startAll();
      await cluster.probe.waitForNodes(options.replicas, HEALTH_MS);
      await cluster.probe.createTable(TABLE, PARTITIONS, cluster.#members);
      await cluster.waitForHealth();
      return cluster;
    } catch (error) {
      await cluster.destroy();
      throw error;
    }
  }

  /** Addresses of the meta servers. */
  get metaAddresses(): string[] {
    return this.#local.metas;
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

  /** Deletes the state of all meta servers in the store. */
  loseState(): Promise<void> {
    return this.store.removeTree(ROOT);
  }

  /** SIGKILL. */
  async kill(name: string): Promise<void> {
    if (!(await this.#local.kill(name))) throw new Error(`"${name}" had ended by itself`);
  }

  /** SIGTERM; resolves when the process has ended. */
  async stop(name: string): Promise<void> {
    if (!(await this.#local.stop(name))) throw new Error(`"${name}" had ended by itself`);
  }

  start(name: string): Promise<void> {
    return this.#local.start(name);
  }

  /** SIGSTOP. */
  pause(name: string): void {
    this.#signal(name, "SIGSTOP");
  }

  /** SIGCONT. */
  resume(name: string): void {
    this.#signal(name, "SIGCONT");
  }

  /** Configurations of the table, as the leader shows them. */
  configs(): Promise<readonly PartitionConfig[]> {
    return this.probe.configs(TABLE);
  }

  /** Waits until every partition has all its members. @throws {Error} After a while. */
  async waitForHealth(): Promise<void> {
    if (await this.probe.waitForTable(TABLE, this.#members, HEALTH_MS)) return;
    throw new Error(`The table is not healthy after ${HEALTH_MS} ms`);
  }

  /** Stops politely. @throws {Error} If a server had ended by itself. */
  async end(): Promise<void> {
    for (const name of [...this.replicas, ...this.metas]) await this.stop(name);
    await this.destroy();
  }

  /** Kills everything and ends the network. */
  async destroy(): Promise<void> {
    await this.#local.killAll();
    await this.probe.close();
    await this.direct.close();
    await this.network.close();
    await this.store.destroy();
  }

  #signal(name: string, what: Deno.Signal): void {
    const { dir } = this.#local;
    if (signal(this.#local.entry(name).pid, pathsOf(dir, name).dataDir, what)) return;
    throw new Error(`"${name}" had ended by itself`);
  }
}
