// Real replica servers in one process, on loopback and real directories, under a scripted meta that stores
// one partition's configuration. Waits are for conditions, never for fixed times.

import { tableInfo } from "../../table_info.ts";
import assert from "node:assert/strict";
import { Err, type StoreError } from "../../../src/base/errors.ts";
import { type Files, FilesError } from "../../../src/base/files.ts";
import { formatPartition, partitionId } from "../../../src/base/ids.ts";
import { SILENT } from "../../../src/observe/logger.ts";
import type { ReplicaSettings } from "../../../src/replication/io.ts";
import { SERVER_DEFAULTS } from "../../../src/replication/server_io.ts";
import { TcpRpcClient } from "../../../src/rpc/rpc_client.ts";
import { TcpRpcServer } from "../../../src/rpc/rpc_server.ts";
import { Get, Incr, incrResult, OpenSession, Put } from "../../../src/schema/client_rpc.ts";
import { decode } from "../../../src/schema/codec.ts";
import { encodeKey } from "../../../src/schema/key_format.ts";
import { Beacon, ConfigProposal, ConfigSync, UpdateConfig } from "../../../src/schema/meta_rpc.ts";
import type { ConfigChange, PartitionConfig } from "../../../src/schema/types.ts";
import { diskFiles } from "../../../storage/disk_files.ts";
import { type RunningReplica, startReplica } from "../../../roles/replica/main_replica.ts";

const P = partitionId(1, 0);
const TABLE = tableInfo();
const REPLICATION: ReplicaSettings = {
  inflightMutationsMax: 64,
  mutationBytesMax: 1024 * 1024,
  queuedWritesMax: 10_000,
  cacheMutationsMax: 16,
  cacheBytesMax: 8 * 1024 * 1024,
  prepareTimeoutMs: 1000,
  learnerPrepareTimeoutMs: 2000,
  prepareResendMs: 100,
  groupCheckIntervalMs: 200,
  idleCommitMs: 100,
  reconfigureResendMs: 200,
  learnRetryMs: 100,
  checkpointIntervalMs: 60_000,
  checkpointDecrees: 1000,
  minReplicaCount: 1,
  sessionsMax: 1000,
  sessionResultsMax: 1000,
};
const IDENTITY = { cluster: "test", node: "", role: "meta" };

/** Stores one configuration, changes it on request by compare-and-set of the ballot. */
class ScriptedMeta {
  readonly server = new TcpRpcServer({ identity: IDENTITY });
  readonly client = new TcpRpcClient({ identity: IDENTITY });
  address = "";
  silent = false;
  /** As the last config sync said. */
  draining = false;
  hint = 0;
  readonly #seen = new Set<string>();
  config: PartitionConfig = {
    partition: P,
    ballot: 0,
    primary: "",
    secondaries: [],
    lastDrops: [],
    maxReplicaCount: 3,
    committedHint: 0,
  };

  async start(): Promise<void> {
    this.server.handle(Beacon, ({ node, sentAt }, call) => {
      if (this.silent) return;
      this.#seen.add(node);
      const ack = { sentAt, isLeader: true, leader: this.address, allowed: true };
      call.reply({ ...ack, syncHint: this.hint, store: "", wantsStored: false });
    });
    this.server.handle(ConfigSync, ({ node, stats }, call) => {
      this.draining = stats.draining;
      const mine = this.config.primary === node || this.config.secondaries.includes(node);
      const configs = mine ? [this.config] : [];
      call.reply({ configs, tables: [TABLE], garbage: [], nodes: [], handOver: 0 });
    });
    this.server.handle(UpdateConfig, ({ config }, call) => {
      const same = JSON.stringify(config) === JSON.stringify(this.config);
      const next = config.ballot === this.config.ballot + 1;
      if (next) this.config = config;
      const error = next || same ? Err.OK : Err.INVALID_VERSION;
      call.reply({ error, config: this.config });
    });
    this.address = await this.server.listen("127.0.0.1:0");
  }
  propose(to: string, change: ConfigChange, node: string): void {
    const { config } = this;
    this.client.send(to, ConfigProposal, {
      change,
      node,
      config,
      table: TABLE,
      nodes: [],
      empty: false,
      incarnation: 0,
    });
  }
  /** Takes a dead node out, as the failure detector would. */
  drop(node: string): void {
    const { config } = this;
    this.config = {
      ...config,
      ballot: config.ballot + 1,
      primary: config.primary === node ? "" : config.primary,
      secondaries: config.secondaries.filter((other) => other !== node),
      lastDrops: [...config.lastDrops, node],
    };
    this.hint++;
  }
  async close(): Promise<void> {
    await this.server.close(0);
    await this.client.close();
  }
}

class Cluster {
  readonly meta = new ScriptedMeta();
  readonly dir = Deno.makeTempDirSync({ prefix: "pegasus_replica_" });
  readonly nodes: (RunningReplica | undefined)[] = [];
  readonly addresses: string[] = [];
  readonly client = new TcpRpcClient({ identity: { cluster: "test", node: "", role: "client" } });

  async start(i: number, files: Files = diskFiles): Promise<RunningReplica> {
    const node = await startReplica({
      files,
      listen: this.addresses[i] ?? "127.0.0.1:0",
      cluster: "test",
      metas: [this.meta.address],
      dataDirs: [{ tag: "data1", path: `${this.dir}/r${i}` }],
      replication: REPLICATION,
      server: {
        ...SERVER_DEFAULTS,
        beaconIntervalMs: 100,
        leaseMs: 1500,
        configSyncIntervalMs: 500,
      },
      logs: {
        fsync: "group",
        sharedLogSegmentBytes: 65536,
        privateLogSegmentBytes: 65536,
        privateLogSyncIntervalMs: 100,
        privateLogReserveBytes: 0,
      },
      logger: SILENT,
    });
    this.nodes[i] = node;
    this.addresses[i] = node.address;
    await until(() => node.control.state === "connected", "connected");
    return node;
  }
  async stop(i: number): Promise<void> {
    await this.nodes[i]?.close();
    this.nodes[i] = undefined;
  }
  core(i: number) {
    return this.nodes[i]?.host.drivers.get(P)?.core;
  }
  put(i: number, key: string, value: string): Promise<{ decree: number }> {
    const body = {
      partition: P,
      session: 0,
      sequence: 0,
      answeredBelow: 0,
      key: keyOf(key),
      value: new TextEncoder().encode(value),
      expireTs: 0,
    };
    return this.client.call(this.addresses[i]!, Put, body, 5000);
  }
  async get(i: number, key: string): Promise<string | undefined> {
    const request = { partition: P, stale: false, key: keyOf(key), stalenessMaxMs: 0 };
    const { value } = await this.client.call(this.addresses[i]!, Get, request, 5000);
    return value === undefined ? undefined : new TextDecoder().decode(value);
  }
  /** Waits out the pause between attempts to connect, in which calls are refused. */
  async reconnect(i: number): Promise<void> {
    const isRefused = (error: StoreError) => error.code === Err.CONNECT_FAILED;
    const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
    while (await this.get(i, "k").then(() => false, isRefused)) await pause();
  }
  /** Primary on node 0. */
  async assign(): Promise<void> {
    const node = this.addresses[0]!;
    await until(() => {
      if (this.meta.config.primary === "") this.meta.propose(node, "ASSIGN_PRIMARY", node);
      return this.core(0)?.readable === true;
    }, "primary");
  }
  /** Adds node `i` as secondary of the current primary. */
  async add(i: number): Promise<void> {
    const node = this.addresses[i]!;
    await until(() => {
      const { primary, secondaries } = this.meta.config;
      if (!secondaries.includes(node)) this.meta.propose(primary, "ADD_SECONDARY", node);
      return secondaries.includes(node) && this.core(i)?.status === "secondary";
    }, `secondary ${i}`);
  }
  async close(): Promise<void> {
    for (let i = 0; i < this.nodes.length; i++) await this.stop(i);
    await this.client.close();
    await this.meta.close();
    Deno.removeSync(this.dir, { recursive: true });
  }
}

function keyOf(text: string): Uint8Array {
  return encodeKey(new TextEncoder().encode(text), new Uint8Array(0));
}

async function until(ready: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 15_000;
  while (!ready()) {
    if (performance.now() > end) throw new Error(`Waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function withCluster(count: number, story: (cluster: Cluster) => Promise<void>) {
  const cluster = new Cluster();
  await cluster.meta.start();
  try {
    for (let i = 0; i < count; i++) await cluster.start(i);
    await story(cluster);
  } finally {
    await cluster.close();
  }
}

Deno.test("Replica servers form a group, replicate, and fail over without losing a write", () =>
  withCluster(3, async (cluster) => {
    await cluster.assign();
    await cluster.add(1);
    await cluster.add(2);
    await Promise.all(Array.from({ length: 200 }, (_, i) => cluster.put(0, `k${i}`, `v${i}`)));
    assert.equal(await cluster.get(0, "k7"), "v7");
    await assert.rejects(cluster.get(1, "k7"), { code: Err.INVALID_STATE });

    await cluster.stop(0);
    cluster.meta.drop(cluster.addresses[0]!);
    const next = cluster.addresses[1]!;
    await until(() => {
      if (cluster.meta.config.primary === "") {
        cluster.meta.propose(next, "UPGRADE_TO_PRIMARY", next);
      }
      return cluster.core(1)?.readable === true;
    }, "new primary");
    for (let i = 0; i < 200; i++) assert.equal(await cluster.get(1, `k${i}`), `v${i}`);
    await cluster.put(1, "after", "failover");
    assert.equal(await cluster.get(1, "after"), "failover");
    await cluster.start(0);
    await cluster.add(0);
    await until(() => cluster.core(0)?.applied === cluster.core(1)?.committed, "caught up");
  }));

Deno.test("Replica server recovers its writes and exactly-once window after a restart", () =>
  withCluster(1, async (cluster) => {
    await cluster.assign();
    const open = await cluster.client.call(
      cluster.addresses[0]!,
      OpenSession,
      { partition: P },
      5000,
    );
    const incr = {
      partition: P,
      session: open.decree,
      sequence: 1,
      answeredBelow: 1,
      key: keyOf("n"),
      increment: 5n,
      expireTs: 0,
    };
    const first = await cluster.client.call(cluster.addresses[0]!, Incr, incr, 5000);
    for (let i = 0; i < 50; i++) await cluster.put(0, `k${i}`, "x".repeat(3000));
    await cluster.stop(0);
    await cluster.start(0);
    await until(() => cluster.core(0)?.readable === true, "primary again");
    await cluster.reconnect(0);
    assert.equal(await cluster.get(0, "k49"), "x".repeat(3000));
    const again = await cluster.client.call(cluster.addresses[0]!, Incr, incr, 5000);
    assert.equal(again.decree, first.decree);
    assert.equal(decode(incrResult, again.result!, "result").newValue, 5n);
    assert.equal(await cluster.get(0, "n"), "5");
  }));

Deno.test("Replica server learns from an image when cache and log do not reach back", () =>
  withCluster(2, async (cluster) => {
    await cluster.assign();
    // More decrees than the cache holds and than a checkpoint leaves in the log.
    for (let i = 0; i < 1100; i += 10) {
      const batch = Array.from({ length: 10 }, (_, j) => i + j);
      for (const n of batch) await cluster.put(0, `k${n}`, `v${n}`.padEnd(400, "."));
    }
    await until(() => (cluster.core(0)?.durable ?? 0) >= 1000, "checkpoint");
    await cluster.add(1);
    await until(() => cluster.core(1)?.applied === cluster.core(0)?.committed, "caught up");
    assert.equal(generationsStarted(cluster.dir, 1), 2, "An image starts a second generation");
    const stale = { partition: P, stale: true, key: keyOf("k3"), stalenessMaxMs: 0 };
    const read = await cluster.client.call(cluster.addresses[1]!, Get, stale, 5000);
    assert.equal(new TextDecoder().decode(read.value), "v3".padEnd(400, "."));
  }));

Deno.test("Replica server stops answering when its lease ends, and serves again with a new one", () =>
  withCluster(1, async (cluster) => {
    await cluster.assign();
    await cluster.put(0, "k", "v");
    cluster.meta.silent = true;
    await until(() => cluster.nodes[0]?.control.state === "disconnected", "disconnected");
    await until(() => cluster.core(0)?.status === "inactive", "inactive");
    await assert.rejects(cluster.get(0, "k"), { code: Err.INVALID_STATE });
    await assert.rejects(cluster.put(0, "k", "w"), { code: Err.INVALID_STATE });
    cluster.meta.silent = false;
    await until(() => cluster.core(0)?.readable === true, "primary again");
    assert.equal(await cluster.get(0, "k"), "v");
  }));

Deno.test("Replica server refuses to lead a partition whose replica it does not have", () =>
  withCluster(1, async (cluster) => {
    const node = cluster.addresses[0]!;
    cluster.meta.config = { ...cluster.meta.config, ballot: 7, lastDrops: [node] };
    cluster.meta.propose(node, "ASSIGN_PRIMARY", node);
    // The answer to a later request proves that the proposal was handled.
    await assert.rejects(cluster.get(0, "k"), { code: Err.OBJECT_NOT_FOUND });
    assert.equal(cluster.meta.config.primary, "");
    assert.equal(cluster.core(0), undefined);
  }));

/** Generations the replica of a node has had; their numbers count up within one process (GenerationSource). */
function generationsStarted(dir: string, node: number): number {
  const path = `${dir}/r${node}/replicas/${formatPartition(P)}`;
  const numbers = [...Deno.readDirSync(path)].map(({ name }) => /^data\.(\d+)$/.exec(name)?.[1]);
  return Math.max(...numbers.map((number) => Number(number ?? 0) % 2 ** 20)) + 1;
}

/** The disk, whose syncs of shared logs fail as soon as `armed` says so. */
function failing(fault: { armed: boolean }): Files {
  const check = (path: string) => {
    if (fault.armed && path.includes("/shared.")) {
      throw new FilesError("io", `Cannot sync "${path}": injected`);
    }
  };
  return {
    ...diskFiles,
    open: (path, mode) => {
      const file = diskFiles.open(path, mode);
      return {
        write: (bytes, position) => file.write(bytes, position),
        read: (bytes, position) => file.read(bytes, position),
        size: () => file.size(),
        truncate: (size) => file.truncate(size),
        sync: () => Promise.resolve().then(() => check(path)).then(() => file.sync()),
        syncNow: () => {
          check(path);
          file.syncNow();
        },
        close: () => file.close(),
      };
    },
  };
}

Deno.test("Replica server whose log cannot be synced lives on without what depended on it, and says so", async () => {
  const cluster = new Cluster();
  await cluster.meta.start();
  const fault = { armed: false };
  try {
    await cluster.start(0, failing(fault));
    await cluster.assign();
    await cluster.put(0, "k", "v");
    assert.equal(cluster.meta.draining, false);
    fault.armed = true;
    const outcome = await cluster.put(0, "k", "w").then(() => 0, (error: StoreError) => error.code);
    assert.equal(outcome, Err.OUTCOME_UNKNOWN, "never OK, never not done");
    await until(() => cluster.nodes[0]!.host.drivers.size === 0, "the replica is given up");
    // The disk works again, and is not believed: what the kernel did with the data is unknown.
    fault.armed = false;
    await until(() => cluster.meta.draining, "meta hears of it");
    assert.equal(cluster.nodes[0]!.control.state, "connected");
    cluster.meta.config = { ...cluster.meta.config, ballot: 0, primary: "", lastDrops: [] };
    cluster.meta.propose(cluster.addresses[0]!, "ASSIGN_PRIMARY", cluster.addresses[0]!);
    const refused = await cluster.get(0, "k").then(() => 0, (error: StoreError) => error.code);
    assert.equal(refused, Err.OBJECT_NOT_FOUND);
    await cluster.stop(0);
    // A restart may use the disk again.
    await cluster.start(0);
    await until(() => !cluster.meta.draining, "a new process is fit");
  } finally {
    await cluster.close();
  }
});
