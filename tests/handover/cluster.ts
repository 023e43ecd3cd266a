// Several meta servers over a real ZooKeeper, and replica servers, as processes whose network runs through the
// proxies of tests/chaos/network.ts: a meta server can be cut from the store, a replica server from some of the
// meta servers. Clients and the driver's own questions go straight. Page: docs/testing.md, "Hand-over".

import { Probe } from "../../roles/onebox/probe.ts";
import type { PartitionConfig } from "../../src/client/mod.ts";
import { ProxiedServers } from "../chaos/servers.ts";
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
export class HandoverCluster extends ProxiedServers {
  readonly store: TestZooKeeper;
  readonly probe: Probe;
  readonly #members: number;
  readonly #flags = new Map<string, string>();

  private constructor(options: HandoverClusterOptions, store: TestZooKeeper) {
    super({ ...options, cluster: CLUSTER });
    this.store = store;
    this.#members = Math.min(3, options.replicas);
    for (const name of this.metas) {
      const proxy = this.network.proxy(name, STORE, store.address);
      this.#flags.set(name, `--coordinator=zookeeper://${proxy}${ROOT}`);
    }
    for (const name of this.replicas) this.#flags.set(name, this.writeDialMap(name));
    this.probe = new Probe(CLUSTER, this.local.metas);
  }

  protected override flagsOf(name: string): string[] {
    return [this.#flags.get(name)!];
  }

  /** Starts everything and creates the table. */
  static async start(options: HandoverClusterOptions): Promise<HandoverCluster> {
    const store = await TestZooKeeper.start({ tickMs: options.tickMs });
    const cluster = new HandoverCluster(options, store);
    try {
      await cluster.local.startAll();
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
    return this.local.metas;
  }

  /** Deletes the state of all meta servers in the store. */
  loseState(): Promise<void> {
    return this.store.removeTree(ROOT);
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

  override async destroy(): Promise<void> {
    await super.destroy();
    await this.probe.close();
    await this.store.destroy();
  }
}
