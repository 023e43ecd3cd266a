// A cluster whose whole network runs through the proxies of network.ts: servers know each other by their own
// addresses and dial what a dial map tells, several meta servers share a real ZooKeeper behind a proxy each, and
// replica servers have small disks where root may mount them. Page: docs/testing.md, "Chaos".

import { Probe } from "../../roles/onebox/probe.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { Cluster, StoreError } from "../../src/client/mod.ts";
import type { PartitionConfig } from "../../src/client/mod.ts";
import { TcpRpcClient } from "../../src/rpc/rpc_client.ts";
import { QueryConfig } from "../../src/schema/meta_rpc.ts";
import { diskFiles } from "../../storage/disk_files.ts";
import { listAside } from "../../storage/replica_dir.ts";
import { FakeClock, fakeClockMissing } from "../fake_clock.ts";
import { SmallDisk, smallDiskMissing } from "../small_disk.ts";
import { TestZooKeeper, zooKeeperMissing } from "../zookeeper.ts";
import { ProxiedServers } from "./servers.ts";
import type { Timing } from "./timing.ts";

/** Name of the application's host in the network, and of ZooKeeper's. */
export const CLIENT = "c";
export const STORE = "zk";
export const TABLE = "chaos";
export const PARTITIONS = 8;
const CLUSTER = "chaos";
export const MEMBERS = 3;
const HEALTH_MS = 90_000;
const DISK_MIB = 128;

/** Small logs and frequent checkpoints, so that a minute sees what usually takes hours. */
const CHAOS_SETTINGS: Readonly<Record<string, string>> = {
  "checkpoint-interval": "3s",
  "private-log-segment-bytes": "64KiB",
  "private-log-reserve-bytes": "64KiB",
  "shared-log-segment-bytes": "256KiB",
  "log-level": "info",
};

/** How large a cluster is. */
export interface ChaosSize {
  readonly replicas: number;
  /** More than one needs ZooKeeper. */
  readonly metas: number;
  readonly timing: Timing;
  /** The wall clocks of servers can be moved. @default false */
  readonly clocks?: boolean;
}

/** A running cluster: m1, m2, ..., r1, r2, ... */
export class ChaosCluster extends ProxiedServers {
  /** Disks of the replica servers' data; empty where none can be mounted. */
  readonly disks = new Map<string, SmallDisk>();
  /** Wall clocks of the servers; empty unless they can be moved. */
  readonly clocks = new Map<string, FakeClock>();
  readonly #dialFlags = new Map<string, string>();
  readonly #clientMap: ReadonlyMap<string, string>;
  readonly #store: TestZooKeeper | undefined;
  #leader = "m1";

  private constructor(dir: string, size: ChaosSize, store: TestZooKeeper | undefined) {
    const { metas, replicas, timing } = size;
    const settings = { ...timing.settings, ...CHAOS_SETTINGS };
    super({ dir, cluster: CLUSTER, metas, replicas, settings });
    this.#store = store;
    const servers = this.local.state.servers;
    for (const { name } of servers) this.#dialFlags.set(name, this.writeDialMap(name));
    this.#clientMap = this.dialMap(CLIENT);
    if (size.clocks === true && fakeClockMissing() === undefined) {
      for (const { name } of servers) this.clocks.set(name, new FakeClock(`${dir}/${name}.clock`));
    }
    if (smallDiskMissing() !== undefined) return;
    for (const name of this.replicas) {
      this.disks.set(name, new SmallDisk(this.dataDirOf(name), DISK_MIB));
    }
  }

  readonly #storeProxies = new Map<string, string>();

  protected override flagsOf(name: string): string[] {
    return [this.#dialFlags.get(name)!, ...this.#storeFlags(name)];
  }

  protected override envOf(name: string): Record<string, string> {
    return this.clocks.get(name)?.env ?? {};
  }

  #storeFlags(name: string): string[] {
    if (this.#store === undefined || !this.metas.includes(name)) return [];
    let proxy = this.#storeProxies.get(name);
    if (proxy === undefined) {
      proxy = this.network.proxy(name, STORE, this.#store.address);
      this.#storeProxies.set(name, proxy);
    }
    return [`--coordinator=zookeeper://${proxy}/pegasus/chaos`, "--zookeeper-session=3s"];
  }

  /** Starts everything and creates the table. @throws {Error} Several metas without ZooKeeper installed. */
  static async start(dir: string, size: ChaosSize): Promise<ChaosCluster> {
    let store: TestZooKeeper | undefined;
    if (size.metas > 1) {
      const missing = zooKeeperMissing();
      if (missing !== undefined) throw new Error(missing);
      store = await TestZooKeeper.start();
    }
    const cluster = new ChaosCluster(dir, size, store);
    try {
      await cluster.local.startAll();
      const probe = new Probe(CLUSTER, cluster.local.metas);
      try {
        await probe.waitForNodes(size.replicas, HEALTH_MS);
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

  /** Whether the metas share a store that can be cut off. */
  get hasStore(): boolean {
    return this.#store !== undefined;
  }

  /** All hosts but `name`, the application included. */
  othersOf(name: string): string[] {
    return [...this.metas, ...this.replicas, CLIENT].filter((other) => other !== name);
  }

  /** Replicas that servers have moved aside as damaged. */
  givenUp(): number {
    const asides = (name: string) => listAside(diskFiles, this.dataDirOf(name));
    return this.replicas.flatMap(asides).filter(({ reason }) => reason === "err").length;
  }

  /** A client library whose connections go through the proxies. */
  openClient(timeoutMs: number): Cluster {
    const identity = { cluster: CLUSTER, node: "", role: "client" };
    const rpc = new TcpRpcClient({ identity, dialMap: this.#clientMap });
    return new Cluster(rpc, { meta: this.local.metas, timeoutMs });
  }

  killAll(): Promise<void> {
    return this.local.killAll();
  }

  startAll(): Promise<void> {
    return this.local.startAll();
  }

  /** Configurations of the table in the order of partitions, as the leading meta shows them. */
  async configs(): Promise<readonly PartitionConfig[]> {
    const request = { table: TABLE, indices: [] };
    let last: unknown;
    for (const name of [this.#leader, ...this.metas.filter((meta) => meta !== this.#leader)]) {
      try {
        const answer = await this.direct.call(this.addressOf(name), QueryConfig, request, 1000);
        this.#leader = name;
        return answer.partitions;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        last = error;
      }
    }
    throw last;
  }

  /** The meta that leads. @throws {StoreError} If none answers. */
  async leader(): Promise<string> {
    await this.configs();
    return this.#leader;
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

  override async destroy(): Promise<void> {
    await super.destroy();
    await this.#store?.destroy();
    for (const disk of this.disks.values()) disk.unmount();
    this.disks.clear();
  }
}
