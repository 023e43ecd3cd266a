// A small cluster around one MetaCore, driven by hand: a store that can be held, lose answers and
// refuse, servers that send beacons and do what proposals ask. Time moves only when a test says so.

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { nextConfig } from "../../../src/placement/config_change.ts";
import {
  META_DEFAULTS,
  type MetaAnswer,
  type MetaBody,
  type MetaEffect,
  type MetaEvent,
  type MetaRequest,
  type MetaRequestName,
  type MetaSettings,
  type StoreChange,
  type StoredValue,
} from "../../../src/placement/io.ts";
import { MetaCore } from "../../../src/placement/meta.ts";
import { readPartition } from "../../../src/placement/stored.ts";
import type { ConfigProposalMessage } from "../../../src/schema/meta_rpc.ts";
import type {
  ConfigChange,
  DiskInfo,
  PartitionConfig,
  ReplicaReport,
} from "../../../src/schema/types.ts";

export type StoreEffect = Extract<MetaEffect, { kind: "store" }>;
export type Answer<N extends MetaRequestName> =
  | { readonly error: 0; readonly response: MetaAnswer<N>; readonly detail: string }
  | { readonly error: number; readonly response: undefined; readonly detail: string };

/** A server that does what it is asked, at once, unless `obeys` is false. */
export interface FakeNode {
  readonly name: string;
  incarnation: number;
  up: boolean;
  obeys: boolean;
  /** Its config syncs say that it is about to end. */
  leaving: boolean;
  /** What it reports at a config sync; absent partitions are not stored. */
  reports: Map<number, ReplicaReport>;
  readonly labels: ReadonlyMap<string, string>;
  disks: DiskInfo[];
  syncHint: number;
  /** Identity of the store it belongs to. */
  store: string;
  /** As its settings say, ms. */
  leaseMs: number;
}

/** See the file comment. */
export class World {
  core!: MetaCore;
  readonly nodes = new Map<string, FakeNode>();
  readonly tree = new Map<string, StoredValue>();
  mono = 1000;
  wall = 1_700_000_000_000;
  epoch = 0;
  /** Store effects that wait for the test while `holdStore` is true. */
  readonly held: StoreEffect[] = [];
  holdStore = false;
  readonly readBacks: Extract<MetaEffect, { kind: "readBack" }>[] = [];
  readonly answers = new Map<number, { error: number; response: unknown; detail: string }>();
  readonly proposals: { to: string; message: ConfigProposalMessage }[] = [];
  readonly notes: { event: string; details: Readonly<Record<string, unknown>> }[] = [];
  readonly probes: Extract<MetaEffect, { kind: "probe" }>[] = [];
  abdicated: string | undefined;
  readonly #settings: MetaSettings;
  readonly #inbox: MetaEvent[] = [];
  #token = 0;
  #stores = 0;
  #stepping = false;

  constructor(nodeCount: number, settings: Partial<MetaSettings> = {}) {
    this.#settings = { ...META_DEFAULTS, ...settings };
    for (let i = 1; i <= nodeCount; i++) this.addNode(`n${i}:1`);
    this.restartMeta();
  }

  addNode(name: string, labels: ReadonlyMap<string, string> = new Map()): void {
    const reports = new Map();
    this.nodes.set(name, {
      name,
      incarnation: 1,
      up: true,
      obeys: true,
      leaving: false,
      reports,
      syncHint: 0,
      store: "",
      leaseMs: META_DEFAULTS.leaseMs,
      labels,
      disks: [],
    });
  }

  node(name: string): FakeNode {
    return this.nodes.get(name)!;
  }

  /** A new meta process takes over the store; everything in memory is gone. */
  restartMeta(): void {
    this.held.length = 0;
    this.#inbox.length = 0;
    this.core = new MetaCore({
      self: "meta:1",
      cluster: "test",
      metaServers: ["meta:1", "meta:2"],
      coordinator: "fake",
      settings: this.#settings,
    });
    this.event({ kind: "leaderUntil", mono: Infinity });
    this.event({ kind: "elected", epoch: ++this.epoch });
    this.beacons();
    this.beacons();
  }

  /** Feeds one event and everything that follows from it. */
  event(event: MetaEvent): void {
    this.#inbox.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
      const out: MetaEffect[] = [];
      this.core.step(next, { mono: this.mono, wall: this.wall }, out);
      for (const effect of out) this.#perform(effect);
    }
    this.#stepping = false;
  }

  #perform(effect: MetaEffect): void {
    switch (effect.kind) {
      case "load":
        return this.event({
          kind: "loaded",
          epoch: effect.epoch,
          nodes: [...this.tree.values()],
          newStoreId: `store ${++this.#stores}`,
        });
      case "store":
        this.held.push(effect);
        if (!this.holdStore) this.release();
        return;
      case "readBack":
        this.readBacks.push(effect);
        return;
      case "send":
        this.proposals.push({ to: effect.to, message: effect.message });
        return this.#obey(effect.to, effect.message);
      case "reply":
        this.answers.set(effect.token as number, {
          error: 0,
          response: effect.response,
          detail: "",
        });
        return;
      case "fail": {
        const { error, detail } = effect;
        this.answers.set(effect.token as number, { error, response: undefined, detail });
        return;
      }
      case "probe":
        this.probes.push(effect);
        return;
      case "abdicate":
        this.abdicated = effect.reason;
        return;
      case "note":
        this.notes.push(effect);
        return;
    }
  }

  /** Applies the oldest held write, and reports it unless `report` says otherwise. */
  release(report: "done" | "unknown" | "silent" = "done"): StoreEffect {
    const effect = this.held.shift()!;
    const versions = this.apply(effect.changes);
    if (report === "silent") return effect;
    this.event({
      kind: "stored",
      write: effect.write,
      result: report === "done" ? { kind: "done", versions } : { kind: "unknown", reason: "lost" },
    });
    return effect;
  }

  /** Loses the oldest held write: nothing is stored, nobody knows. */
  lose(): StoreEffect {
    const effect = this.held.shift()!;
    this.event({
      kind: "stored",
      write: effect.write,
      result: { kind: "unknown", reason: "lost" },
    });
    return effect;
  }

  /** Answers the oldest readBack from the tree. */
  readBack(): void {
    const { write, paths } = this.readBacks.shift()!;
    this.event({ kind: "readBack", write, nodes: paths.map((path) => this.tree.get(path)) });
  }

  apply(changes: readonly StoreChange[]): number[] {
    return changes.map((change) => {
      const before = this.tree.get(change.path);
      if (change.op === "create") assert.equal(before, undefined, `${change.path} exists`);
      else assert.equal(before?.version, change.version, `${change.path} version`);
      if (change.op === "delete") {
        this.tree.delete(change.path);
        return -1;
      }
      const version = change.op === "create" ? 0 : change.version + 1;
      this.tree.set(change.path, { path: change.path, value: change.value, version });
      return version;
    });
  }

  /** Sends a request; the answer, if there is one already. */
  ask<N extends MetaRequestName>(name: N, body: MetaBody<N>): Answer<N> | undefined {
    return this.answer<N>(this.send(name, body));
  }

  /** Sends a request. @returns Its token. */
  send<N extends MetaRequestName>(name: N, body: MetaBody<N>): number {
    const token = ++this.#token;
    this.event({ kind: "request", token, request: { name, body } as unknown as MetaRequest });
    return token;
  }

  answer<N extends MetaRequestName>(token: number): Answer<N> | undefined {
    return this.answers.get(token) as Answer<N> | undefined;
  }

  /** Answers the request must have got, with error 0. */
  ok<N extends MetaRequestName>(name: N, body: MetaBody<N>): MetaAnswer<N> {
    const answer = this.ask(name, body);
    assert.ok(answer !== undefined, `${name}: no answer`);
    assert.equal(answer.error, 0, `${name}: ${answer.detail}`);
    return answer.response!;
  }

  beacon(node: FakeNode): Answer<"beacon"> {
    const token = this.send("beacon", {
      node: node.name,
      incarnation: node.incarnation,
      sentAt: this.mono,
      shardPorts: [7],
      httpPort: 8,
      labels: new Map(node.labels),
      store: node.store,
      leaseMs: node.leaseMs,
    });
    const answer = this.answer<"beacon">(token)!;
    node.syncHint = answer.response?.syncHint ?? 0;
    const { isLeader = false, allowed = false, store = "" } = answer.response ?? {};
    if (isLeader && allowed && store !== "") node.store = store;
    return answer;
  }

  beacons(): void {
    for (const node of this.nodes.values()) if (node.up) this.beacon(node);
  }

  /** Lets time pass in ticks of 100 ms, with beacons every second. */
  run(ms: number): void {
    for (let passed = 0; passed < ms; passed += 100) {
      this.mono += 100;
      this.wall += 100;
      if (this.mono % 1000 === 0) this.beacons();
      this.event({ kind: "tick" });
    }
  }

  sync(node: FakeNode): Answer<"configSync"> {
    const token = this.send("configSync", {
      node: node.name,
      incarnation: node.incarnation,
      replicas: [...node.reports.values()],
      stats: {
        replicas: 0,
        primaries: 0,
        diskTotalBytes: 0,
        diskFreeBytes: 0,
        draining: node.leaving,
        disks: node.disks,
      },
    });
    return this.answer<"configSync">(token)!;
  }

  /** Makes a table and lets it become healthy. */
  table(name: string, partitionCount = 1, maxReplicaCount = 3): number {
    const { tableId } = this.ok("createTable", {
      name,
      partitionCount,
      maxReplicaCount,
      envs: new Map(),
      successIfExists: false,
    });
    this.run(1000);
    return tableId;
  }

  /** What the store holds of a partition. */
  stored(table: number, index = 0): PartitionConfig {
    const node = this.tree.get(`/tables/${table}/${index}`)!;
    return readPartition(node.value, partitionId(table, index));
  }

  /** What meta shows to clients. */
  shown(name: string, index = 0): PartitionConfig {
    return this.ok("queryConfig", { table: name, indices: [index] }).partitions[0]!;
  }

  /** The request that a replica would send for a change of `config`. */
  request(
    config: PartitionConfig,
    change: ConfigChange,
    node: string,
    from: string,
    committedHint = config.committedHint,
  ): MetaBody<"updateConfig"> {
    const next = nextConfig(config, change, node);
    assert.ok(next !== undefined, `${change} ${node} is impossible`);
    const { incarnation } = this.node(from);
    return { change, node, from, incarnation, config: { ...next, committedHint } };
  }

  report(partition: number, ballot: number, values: Partial<ReplicaReport> = {}): ReplicaReport {
    const zero = {
      committed: 0,
      lastPrepared: 0,
      maxPrepared: 0,
      durable: 0,
      applied: 0,
      bytes: 0,
      disk: "",
      mutationBallot: 0,
    };
    return { partition, ballot, status: "inactive", ...zero, ...values };
  }

  /** What a healthy server makes of a proposal. */
  #obey(to: string, message: ConfigProposalMessage): void {
    const server = this.nodes.get(to)!;
    const learner = this.nodes.get(message.node)!;
    if (!server.up || !server.obeys || message.incarnation !== server.incarnation) return;
    const isAdd = message.change === "ADD_SECONDARY" || message.change === "ADD_SECONDARY_FOR_LB";
    if (isAdd && (!learner.up || !learner.obeys)) return;
    const change = isAdd ? "UPGRADE_TO_SECONDARY" : message.change;
    this.send("updateConfig", this.request(message.config, change, message.node, to));
  }
}

export { Err };
