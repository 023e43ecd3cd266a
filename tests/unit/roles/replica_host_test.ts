// One shard with the real core, an engine and logs in memory, and handlers called by hand: every step is
// visible, and time passes only when the test says so.

import { tableInfo } from "../../table_info.ts";
import { NEW_REPLICA } from "../../../src/replication/io.ts";
import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { type PartitionId, partitionId } from "../../../src/base/ids.ts";
import { SILENT } from "../../../src/observe/logger.ts";
import type { IncomingCall, RpcClient, RpcServer } from "../../../src/rpc/contract.ts";
import { Get, Put } from "../../../src/schema/client_rpc.ts";
import { encodeKey } from "../../../src/schema/key_format.ts";
import { GroupCheck, LearnFetch, Prepare } from "../../../src/schema/replica_rpc.ts";
import type { AnyRpc, RequestOf, ResponseOf } from "../../../src/schema/rpc.ts";
import type { PartitionConfig } from "../../../src/schema/types.ts";
import type { LogRecord, SharedLog } from "../../../storage/log.ts";
import { LeaseGate, type ShardReport } from "../../../roles/replica/control_link.ts";
import { ShardHost } from "../../../roles/replica/shard_host.ts";
import { FakeStore } from "./fake_store.ts";

const P = partitionId(1, 0);
const H = new TextEncoder().encode("h");
const KEY = encodeKey(H, H);
const CONFIG: PartitionConfig = {
  partition: P,
  ballot: 0,
  primary: "",
  secondaries: [],
  lastDrops: [],
  maxReplicaCount: 1,
  committedHint: 0,
};
const TABLE = tableInfo({ maxReplicaCount: 1 });
const SETTINGS = {
  inflightMutationsMax: 64,
  mutationBytesMax: 1024 * 1024,
  queuedWritesMax: 100,
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
  checkpointDecrees: 1000,
  minReplicaCount: 1,
  sessionsMax: 10,
  sessionResultsMax: 10,
};

/** What a call was answered with. */
interface Answer<A> {
  error: number | undefined;
  response: A | undefined;
}

class Shard {
  readonly now = { mono: 1000, wall: 1_000_000 };
  readonly handlers = new Map<number, (request: unknown, call: IncomingCall<unknown>) => void>();
  readonly reports: ShardReport[] = [];
  readonly sent: { address: string; code: number }[] = [];
  readonly records: LogRecord[] = [];
  readonly created: PartitionId[] = [];
  readonly aside: string[] = [];
  readonly lease: LeaseGate;
  readonly log: SharedLog;
  readonly server: RpcServer;
  readonly host: ShardHost;

  constructor() {
    const clock = { now: () => ({ ...this.now }) };
    this.lease = new LeaseGate(clock);
    this.log = {
      append: (record) => this.records.push(record),
      onDurable: () => {},
      onFailed: () => {},
      onFull: () => {},
      poisoned: false,
      collect: () => Promise.resolve(0),
      bytes: 0,
      close: () => Promise.resolve(),
    };
    this.server = {
      handle: (rpc: AnyRpc, handler: (request: never, call: never) => void) => {
        this.handlers.set(rpc.code, handler as (request: unknown, call: unknown) => void);
      },
      onBatchEnd: () => {},
      listen: () => Promise.resolve("n1:1"),
      close: () => Promise.resolve(),
    } as RpcServer;
    const client = {
      send: (address: string, rpc: AnyRpc) => this.sent.push({ address, code: rpc.code }),
      onPeer: () => {},
    } as unknown as RpcClient;
    this.host = new ShardHost({
      node: "n1:1",
      incarnation: 1,
      shard: 0,
      shardCount: 1,
      settings: SETTINGS,
      stores: {
        create: (partition) => {
          this.created.push(partition);
          return Promise.resolve({
            store: new FakeStore(partition),
            recovered: NEW_REPLICA,
            maxReplicaCount: 1,
          });
        },
        reopen: () => Promise.resolve(undefined),
        moveAside: (_partition, reason) => {
          this.aside.push(reason);
          return Promise.resolve();
        },
        locate: () => "data1",
        drop: () => [],
        refusal: () => undefined,
        move: () => Promise.reject(new Error("There is one disk")),
      },
      sharedLog: this.log,
      server: this.server,
      client,
      clock,
      logger: SILENT,
      lease: this.lease,
      report: (report) => this.reports.push(report),
    });
  }

  call<R extends AnyRpc>(rpc: R, request: RequestOf<R>): Answer<ResponseOf<R>> {
    const answer: Answer<ResponseOf<R>> = { error: undefined, response: undefined };
    this.handlers.get(rpc.code)!(request, {
      deadline: Infinity,
      peer: "test",
      reply: (response) => {
        answer.error = 0;
        answer.response = response as ResponseOf<R>;
      },
      replyBytes: () => {},
      fail: (code) => answer.error = code,
    });
    return answer;
  }
  get(): Answer<ResponseOf<typeof Get>> {
    return this.call(Get, { partition: P, stale: false, key: KEY, stalenessMaxMs: 0 });
  }
  put(value: Uint8Array): Answer<ResponseOf<typeof Put>> {
    const head = { partition: P, session: 0, sequence: 0, answeredBelow: 0 };
    return this.call(Put, { ...head, key: KEY, value, expireTs: 0 });
  }
  connect(): void {
    this.lease.set(this.now.mono + 5000, this.now.wall + 5000);
    this.host.command({ kind: "contact", connected: true });
  }
  /** Makes everything in the shared log durable, and lets applies finish. */
  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) {
      this.log.onDurable(this.records.length);
      await turn();
    }
  }
  /** The only replica becomes primary, as meta would have it. */
  async lead(): Promise<void> {
    this.connect();
    const proposal = { change: "ASSIGN_PRIMARY", node: "n1:1", config: CONFIG } as const;
    const rest = { table: TABLE, nodes: [], empty: false, incarnation: 1 };
    this.host.command({ kind: "proposal", proposal: { ...proposal, ...rest } });
    await turn();
    const asked = this.reports.find((report) => report.kind === "updateConfig");
    assert.ok(asked?.kind === "updateConfig", "The replica asked for its configuration");
    const { partition, attempt, config } = asked;
    this.host.command({ kind: "configReply", partition, attempt, error: Err.OK, config });
    await this.settle();
    assert.equal(this.host.drivers.get(P)?.core.readable, true);
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

const GROUP_CHECK = {
  partition: P,
  from: "n2:1",
  incarnation: 1,
  ballot: 3,
  role: "learner",
  signature: 9,
  reconcileEnd: 0,
  committed: 0,
} as const;

Deno.test("ShardHost answers a write only after its record is durable and applied", async () => {
  const shard = new Shard();
  await shard.lead();
  const answer = shard.put(H);
  shard.server.onBatchEnd();
  await turn();
  assert.equal(answer.error, undefined);
  await shard.settle();
  assert.equal(answer.error, 0);
  assert.deepEqual(shard.get().response?.value, H);
});

Deno.test("ShardHost makes one mutation of the writes of one batch", async () => {
  const shard = new Shard();
  await shard.lead();
  const before = shard.records.length;
  const answers = [1, 2, 3].map((n) => shard.put(new Uint8Array([n])));
  assert.equal(shard.records.length, before);
  shard.server.onBatchEnd();
  assert.equal(shard.records.length, before + 1);
  await shard.settle();
  assert.deepEqual(answers.map(({ error }) => error), [0, 0, 0]);
  assert.deepEqual(shard.get().response?.value, new Uint8Array([3]));
});

Deno.test("ShardHost that closes makes durable what it has applied, so that a start applies nothing again", async () => {
  const shard = new Shard();
  await shard.lead();
  shard.put(H);
  shard.server.onBatchEnd();
  await shard.settle();
  const { core, store } = shard.host.drivers.get(P)!;
  const applied = core.applied;
  assert.ok(applied > core.durable, "no checkpoint was due");
  await shard.host.close();
  const calls = (store as FakeStore).calls;
  assert.deepEqual(calls.slice(-2), [`checkpoint ${applied}`, "close"]);
});

Deno.test("ShardHost checks the lease for every read, before any timer ran", async () => {
  for (const clock of ["mono", "wall"] as const) {
    const shard = new Shard();
    await shard.lead();
    assert.equal(shard.get().error, 0);
    // The process was stopped and goes on: buffered requests run before timers.
    shard.now[clock] += 5000;
    assert.equal(shard.get().error, Err.INVALID_STATE);
    assert.equal(shard.put(H).error, Err.INVALID_STATE);
  }
});

Deno.test("ShardHost does not know a replica that has finished", async () => {
  const shard = new Shard();
  await shard.lead();
  shard.host.drivers.get(P)!.finish("Test", "stays");
  assert.equal(shard.get().error, Err.OBJECT_NOT_FOUND);
  assert.equal(shard.put(H).error, Err.OBJECT_NOT_FOUND);
});

Deno.test("ShardHost creates a learner's replica only while in contact with meta", async () => {
  const shard = new Shard();
  shard.call(GroupCheck, GROUP_CHECK);
  assert.deepEqual(shard.created, []);
  shard.connect();
  shard.call(GroupCheck, { ...GROUP_CHECK, role: "secondary" });
  assert.deepEqual(shard.created, []);
  shard.call(GroupCheck, GROUP_CHECK);
  shard.call(GroupCheck, GROUP_CHECK);
  assert.deepEqual(shard.created, [P]);
  await turn();
  assert.equal(shard.host.drivers.get(P)?.core.status, "learner");
  assert.ok(shard.reports.some((report) => report.kind === "requestConfigSync"));
});

Deno.test("ShardHost ignores prepares for a partition it does not have", () => {
  const shard = new Shard();
  shard.connect();
  const { committed: _, ...head } = GROUP_CHECK;
  shard.call(Prepare, { ...head, mutation: new Uint8Array(32), committed: 0 });
  assert.deepEqual(shard.created, []);
});

Deno.test("ShardHost creates a replica for ASSIGN_PRIMARY only if the partition has no history, or it is given up", async () => {
  const shard = new Shard();
  shard.connect();
  const proposal = {
    change: "ASSIGN_PRIMARY" as const,
    node: "n1:1",
    config: { ...CONFIG, ballot: 4 },
    table: TABLE,
    nodes: [],
    empty: false,
    incarnation: 1,
  };
  shard.host.command({ kind: "proposal", proposal });
  await turn();
  assert.deepEqual(shard.created, []);
  shard.host.command({ kind: "proposal", proposal: { ...proposal, config: CONFIG } });
  assert.deepEqual(shard.created, [P]);
  const other = new Shard();
  other.connect();
  other.host.command({ kind: "proposal", proposal: { ...proposal, empty: true } });
  assert.deepEqual(other.created, [P]);
});

Deno.test("ShardHost asks to be removed from a partition it does not have", async () => {
  const shard = new Shard();
  shard.connect();
  const config = { ...CONFIG, ballot: 4, primary: "n1:1", secondaries: ["n2:1"] };
  shard.host.command({ kind: "missing", config });
  const [asked] = shard.reports;
  assert.ok(asked?.kind === "updateConfig");
  assert.equal(asked.change, "DOWNGRADE_TO_INACTIVE");
  assert.deepEqual([asked.config.ballot, asked.config.primary], [5, ""]);
  assert.deepEqual(asked.config.lastDrops, ["n1:1"]);
  const other = { ...CONFIG, ballot: 4, primary: "n2:1", secondaries: ["n3:1", "n1:1"] };
  shard.host.command({ kind: "missing", config: other });
  const [, second] = shard.reports;
  assert.ok(second?.kind === "updateConfig");
  assert.deepEqual([second.config.primary, second.config.secondaries], ["n2:1", ["n3:1"]]);
});

Deno.test("ShardHost closes garbage first and sets it aside when meta says so again", async () => {
  const shard = new Shard();
  await shard.lead();
  shard.host.command({ kind: "garbage", partition: P });
  assert.ok(shard.host.drivers.has(P), "A serving replica is no garbage");
  shard.host.command({ kind: "contact", connected: false });
  shard.host.command({ kind: "garbage", partition: P });
  await turn();
  assert.equal(shard.host.drivers.has(P), false);
  assert.deepEqual(shard.aside, []);
  shard.host.command({ kind: "collect", request: 1 });
  const reports = shard.reports.find((report) => report.kind === "reports");
  assert.deepEqual(
    reports?.kind === "reports" &&
      reports.replicas.map(({ partition, status }) => [partition, status]),
    [[P, "inactive"]],
  );
  shard.host.command({ kind: "garbage", partition: P });
  await turn();
  assert.deepEqual(shard.aside, ["gar"]);
  // A word from the time before the partition had a history comes late.
  shard.connect();
  const late = { change: "ASSIGN_PRIMARY", node: "n1:1", config: CONFIG } as const;
  const rest = { table: TABLE, nodes: [], empty: false, incarnation: 1 };
  shard.host.command({ kind: "proposal", proposal: { ...late, ...rest } });
  await turn();
  assert.equal(shard.created.length, 1, "A history is not begun anew");
});

Deno.test("ShardHost condemns its replicas when the shared log fails, and opens no new ones", async () => {
  const shard = new Shard();
  await shard.lead();
  const waiting = shard.put(H);
  shard.server.onBatchEnd();
  (shard.log as { poisoned: boolean }).poisoned = true;
  shard.log.onFailed(new Error("disk gone"));
  await turn();
  await turn();
  assert.equal(waiting.error, Err.OUTCOME_UNKNOWN);
  assert.equal(shard.host.drivers.size, 0);
  assert.deepEqual(shard.aside, ["err"]);
  shard.call(GroupCheck, GROUP_CHECK);
  await turn();
  assert.equal(shard.created.length, 1);
});

Deno.test("ShardHost serves images and logs to nobody but learners", async () => {
  const shard = new Shard();
  await shard.lead();
  const request = { partition: P, from: "n2:1", signature: 0, position: 0, image: 0 };
  assert.equal(shard.call(LearnFetch, { ...request, source: "image" }).error, Err.WRONG_SIGNATURE);
  assert.equal(shard.call(LearnFetch, { ...request, source: "log" }).error, Err.WRONG_SIGNATURE);
});
