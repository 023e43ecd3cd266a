// One shard that leads one partition, with the real core and handlers called by hand, over an engine of the
// test's choice. Time passes only when the test says so; the shared log is durable when the test settles.

import { tableInfo } from "../../table_info.ts";
import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { type Logger, SILENT } from "../../../src/observe/logger.ts";
import { NEW_REPLICA, type ReplicaSettings } from "../../../src/replication/io.ts";
import type { IncomingCall, RpcClient, RpcServer } from "../../../src/rpc/contract.ts";
import type { AnyRpc, RequestOf, ResponseOf } from "../../../src/schema/rpc.ts";
import type { PartitionConfig, TableInfo } from "../../../src/schema/types.ts";
import { secondsSince2016 } from "../../../src/schema/value_format.ts";
import type { Engine } from "../../../storage/engine.ts";
import type { SharedLog } from "../../../storage/log.ts";
import { LeaseGate, type ShardReport } from "../../../roles/replica/control_link.ts";
import { ShardHost } from "../../../roles/replica/shard_host.ts";
import { MemoryEngine } from "../../sim/memory_engine.ts";
import { FakeStore } from "./fake_store.ts";

const NODE = "n1:1";

const SETTINGS: ReplicaSettings = {
  inflightMutationsMax: 64,
  mutationBytesMax: 1024 * 1024,
  queuedWritesMax: 100_000,
  cacheMutationsMax: 16,
  cacheBytesMax: 1024 * 1024,
  prepareTimeoutMs: 1000,
  learnerPrepareTimeoutMs: 2000,
  prepareResendMs: 100,
  groupCheckIntervalMs: 1000,
  idleCommitMs: 100,
  reconfigureResendMs: 200,
  learnRetryMs: 100,
  checkpointIntervalMs: 60_000,
  checkpointDecrees: 100_000,
  minReplicaCount: 1,
  sessionsMax: 10,
  sessionResultsMax: 10,
};

/** What a call was answered with; `error` undefined = not yet. */
export interface Answer<A> {
  error: number | undefined;
  response: A | undefined;
  detail: string;
}

/** What kind of shard. */
export interface LeadOptions {
  /** @default 1 */
  readonly partitionCount?: number;
  /** Index of the partition it leads. @default 0 */
  readonly index?: number;
  readonly envs?: Readonly<Record<string, string>>;
  /** @default One in memory. */
  readonly engine?: Engine;
  readonly logger?: Logger;
  readonly sweepRowsPerSecond?: number;
}

/** See the file comment. */
export class LeadShard {
  readonly now = { mono: 1000, wall: Date.UTC(2026, 0, 1) };
  readonly partition: number;
  readonly store: FakeStore;
  readonly host: ShardHost;
  readonly #options: LeadOptions;
  readonly #handlers = new Map<number, (request: unknown, call: IncomingCall<unknown>) => void>();
  readonly #reports: ShardReport[] = [];
  readonly #lease: LeaseGate;
  readonly #log: SharedLog;
  readonly #server: RpcServer;
  #records = 0;

  private constructor(options: LeadOptions) {
    this.#options = options;
    this.partition = partitionId(1, options.index ?? 0);
    this.store = new FakeStore(this.partition);
    this.store.engine = options.engine ?? new MemoryEngine();
    const clock = { now: () => ({ ...this.now }) };
    this.#lease = new LeaseGate(clock);
    this.#log = {
      append: () => ++this.#records,
      onDurable: () => {},
      onFailed: () => {},
      onFull: () => {},
      poisoned: false,
      collect: () => Promise.resolve(0),
      bytes: 0,
      close: () => Promise.resolve(),
    };
    this.#server = {
      handle: (rpc: AnyRpc, handler: (request: never, call: never) => void) => {
        this.#handlers.set(rpc.code, handler as (request: unknown, call: unknown) => void);
      },
      onBatchEnd: () => {},
      listen: () => Promise.resolve(NODE),
      close: () => Promise.resolve(),
    } as RpcServer;
    this.host = new ShardHost({
      node: NODE,
      incarnation: 1,
      shard: 0,
      shardCount: 1,
      settings: SETTINGS,
      stores: {
        create: () =>
          Promise.resolve({
            store: this.store,
            recovered: NEW_REPLICA,
            maxReplicaCount: 1,
          }),
        reopen: () => Promise.resolve(undefined),
        moveAside: () => Promise.resolve(),
        locate: () => "data1",
        drop: () => [],
        refusal: () => undefined,
        move: () => Promise.reject(new Error("There is one disk")),
      },
      sharedLog: this.#log,
      server: this.#server,
      client: { send: () => {}, onPeer: () => {} } as unknown as RpcClient,
      clock,
      logger: options.logger ?? SILENT,
      lease: this.#lease,
      sweepRowsPerSecond: options.sweepRowsPerSecond ?? 0,
      report: (report) => this.#reports.push(report),
    });
  }

  /** A shard that leads its partition and serves. */
  static async start(options: LeadOptions = {}): Promise<LeadShard> {
    const shard = new LeadShard(options);
    await shard.#lead();
    return shard;
  }

  /** Seconds since 2016 on the shard's clock. */
  get seconds(): number {
    return secondsSince2016(this.now.wall);
  }

  /** The table as meta would tell it. */
  table(envs: Readonly<Record<string, string>> = this.#options.envs ?? {}): TableInfo {
    return tableInfo({
      partitionCount: this.#options.partitionCount ?? 1,
      maxReplicaCount: 1,
      envs: new Map(Object.entries(envs)),
    });
  }

  /** Meta changes the table's variables. */
  setEnvs(envs: Readonly<Record<string, string>>): void {
    this.host.command({ kind: "tables", tables: [this.table(envs)] });
  }

  /** Both clocks go on; throttled requests and background work notice. The lease is renewed. */
  pass(ms: number): void {
    this.now.mono += ms;
    this.now.wall += ms;
    this.#renew();
    this.host.tick();
  }

  /** Hands a request to its handler, without the end of the batch of input. */
  call<R extends AnyRpc>(
    rpc: R,
    request: Omit<RequestOf<R>, "partition">,
    deadline = Infinity,
  ): Answer<ResponseOf<R>> {
    const answer: Answer<ResponseOf<R>> = { error: undefined, response: undefined, detail: "" };
    this.#handlers.get(rpc.code)!({ partition: this.partition, ...request }, {
      deadline,
      peer: "test",
      reply: (response) => {
        answer.error = 0;
        answer.response = response as ResponseOf<R>;
      },
      replyBytes: () => {},
      fail: (code, detail = "") => {
        answer.error = code;
        answer.detail = detail;
      },
    });
    return answer;
  }

  /** Hands a request over and waits for its answer. */
  async ask<R extends AnyRpc>(
    rpc: R,
    request: Omit<RequestOf<R>, "partition">,
  ): Promise<Answer<ResponseOf<R>>> {
    const answer = this.call(rpc, request);
    await this.settle(() => answer.error !== undefined);
    return answer;
  }

  /** The same, and fails unless the answer is good. */
  async must<R extends AnyRpc>(
    rpc: R,
    request: Omit<RequestOf<R>, "partition">,
  ): Promise<ResponseOf<R>> {
    const { error, response, detail } = await this.ask(rpc, request);
    if (error !== Err.OK) assert.fail(`${rpc.name} answered error ${error} ${detail}`);
    return response!;
  }

  /** Ends the batch of input and makes the log durable until `done`, or nothing happens any more. */
  async settle(done?: () => boolean): Promise<void> {
    for (let i = 0; done === undefined ? i < 5 : i < 5000 && !done(); i++) {
      this.#server.onBatchEnd();
      this.#log.onDurable(this.#records);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    assert(done === undefined || done(), "Nothing more happens");
  }

  close(): Promise<void> {
    return this.host.close();
  }

  #renew(): void {
    this.#lease.set(this.now.mono + 5000, this.now.wall + 5000);
  }

  async #lead(): Promise<void> {
    this.#renew();
    this.host.command({ kind: "contact", connected: true });
    const config: PartitionConfig = {
      partition: this.partition,
      ballot: 0,
      primary: "",
      secondaries: [],
      lastDrops: [],
      maxReplicaCount: 1,
      committedHint: 0,
    };
    this.setEnvs(this.#options.envs ?? {});
    const proposal = { change: "ASSIGN_PRIMARY", node: NODE, config, table: this.table() } as const;
    this.host.command({
      kind: "proposal",
      proposal: { ...proposal, nodes: [], empty: false, incarnation: 0 },
    });
    await this.settle(() => this.#reports.some(({ kind }) => kind === "updateConfig"));
    const asked = this.#reports.find((report) => report.kind === "updateConfig")!;
    assert(asked.kind === "updateConfig");
    const { partition, attempt } = asked;
    const { OK: error } = Err;
    this.host.command({ kind: "configReply", partition, attempt, error, config: asked.config });
    await this.settle(() => this.host.drivers.get(partition)?.core.readable === true);
  }
}

/** Head of a write without a session. */
export const WRITE_HEAD = { session: 0, sequence: 0, answeredBelow: 0 };
