// A cluster in one object, behind the RpcClient interface: enough of meta and of the replicas to test the
// client and the shell without sockets. Requests and answers pass through the codec, so wrong shapes show.
// `fault` decides the fate of every call: refuse it, or execute it and lose the answer.

import { compareBytes, toHex } from "../../../src/base/bytes.ts";
import { Err, StoreError } from "../../../src/base/errors.ts";
import { partitionId, tableOf } from "../../../src/base/ids.ts";
import type { CallDone, RpcClient } from "../../../src/rpc/contract.ts";
import { decode, encode } from "../../../src/schema/codec.ts";
import type { Field } from "../../../src/schema/field.ts";
import type { AnyRpc, Rpc } from "../../../src/schema/rpc.ts";
import { secondsSince2016 } from "../../../src/schema/value_format.ts";
import { answerMeta } from "./fake_meta.ts";
import { answerData } from "./fake_replica.ts";

/** A stored row. */
export interface FakeRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly expireTs: number;
}

/** One partition. */
export class FakePartition {
  readonly rows = new Map<string, FakeRow>();
  readonly sessions = new Map<number, Map<number, Uint8Array | undefined>>();
  readonly scans = new Map<number, FakeRow[]>();
  decree = 0;
  primary = "n1:1";
  ballot = 1;

  /** Living rows in key order. */
  sorted(): FakeRow[] {
    const now = secondsSince2016(Date.now());
    return [...this.rows.values()].filter((r) => r.expireTs === 0 || r.expireTs > now)
      .sort((a, b) => compareBytes(a.key, b.key));
  }

  find(key: Uint8Array): FakeRow | undefined {
    const row = this.rows.get(toHex(key));
    if (row === undefined || row.expireTs === 0) return row;
    return row.expireTs > secondsSince2016(Date.now()) ? row : undefined;
  }
}

/** A table. */
export interface FakeTable {
  readonly tableId: number;
  name: string;
  readonly partitions: FakePartition[];
  readonly envs: Map<string, string>;
  status: "available" | "dropped";
  replicaCount: number;
}

/** What happens to a call. `before`: refused with this code. `after`: executed, then this code is reported. */
export interface Fate {
  readonly before?: number;
  readonly after?: number;
  readonly detail?: string;
  /** What is answered instead of what the fake would. */
  readonly answer?: unknown;
  /** Nobody answers. */
  readonly silent?: boolean;
}

/** One call as the tests see it. */
export interface SeenCall {
  readonly address: string;
  readonly name: string;
  // deno-lint-ignore no-explicit-any
  readonly request: any;
  readonly timeoutMs: number;
}

/** See the file comment. Meta listens at m1:1 and m2:1, the first one leads; servers are n1:1, n2:1, n3:1. */
export class FakeCluster implements RpcClient {
  readonly tables: FakeTable[] = [];
  readonly calls: SeenCall[] = [];
  leader = "m1:1";
  fault: (call: SeenCall) => Fate | undefined = () => undefined;
  onPeer = (): void => {};
  onTick: (() => void) | undefined;
  scanBatch = 1000;
  nextContext = 1;
  closed = false;

  addTable(name: string, partitionCount = 4): FakeTable {
    const tableId = this.tables.length + 1;
    const partitions = Array.from({ length: partitionCount }, () => new FakePartition());
    const table: FakeTable = {
      tableId,
      name,
      partitions,
      envs: new Map(),
      status: "available",
      replicaCount: 3,
    };
    this.tables.push(table);
    return table;
  }

  table(name: string): FakeTable | undefined {
    return this.tables.find((t) => t.name === name && t.status === "available");
  }

  partition(id: number): FakePartition | undefined {
    const table = this.tables.find((t) => t.tableId === tableOf(id) && t.status === "available");
    return table?.partitions[id - partitionId(tableOf(id), 0)];
  }

  /** Names of the calls so far, oldest first; forgets them. */
  takeNames(): string[] {
    return this.calls.splice(0).map((call) => call.name);
  }

  start<Q, A>(
    address: string,
    rpc: Rpc<Q, A>,
    request: Q,
    timeoutMs: number,
    done: CallDone<A>,
  ): void {
    // The bytes are taken at once, as the real client does.
    this.startEncoded(address, rpc, encode(rpc.request, request), timeoutMs, done);
  }

  startEncoded<Q, A>(
    address: string,
    rpc: Rpc<Q, A>,
    request: Uint8Array,
    timeoutMs: number,
    done: CallDone<A>,
  ): void {
    queueMicrotask(() => this.#deliver(address, rpc, request, timeoutMs, done));
  }

  call<Q, A>(address: string, rpc: Rpc<Q, A>, request: Q, timeoutMs: number): Promise<A> {
    return new Promise((resolve, reject) => {
      this.start(address, rpc, request, timeoutMs, (code, response, detail) => {
        if (code === Err.OK) resolve(response!);
        else reject(new StoreError(code, detail));
      });
    });
  }

  send(): void {}
  disconnect(): void {}

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  #deliver<A>(
    address: string,
    rpc: AnyRpc,
    bytes: Uint8Array,
    timeoutMs: number,
    done: CallDone<A>,
  ): void {
    const request = decode(rpc.request, bytes, rpc.name);
    const call = { address, name: rpc.name, request, timeoutMs };
    this.calls.push(call);
    const fate = this.fault(call);
    if (this.closed) return done(Err.CLOSED, undefined, "");
    if (fate?.silent === true) return;
    if (fate?.before !== undefined) return done(fate.before, undefined, fate.detail ?? "");
    let response: unknown;
    try {
      response = fate?.answer ??
        (rpc.code >= 300 ? answerMeta(this, call) : answerData(this, call));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return done(error.code, undefined, error.message);
    }
    if (fate?.after !== undefined) return done(fate.after, undefined, fate.detail ?? "");
    const field = rpc.response as Field<A>;
    done(Err.OK, decode(field, encode(field, response as A), rpc.name), "");
  }
}

/** Thrown by the answering halves. */
export class Refusal extends Error {
  readonly code: number;
  constructor(code: number, detail = "") {
    super(detail);
    this.code = code;
  }
}
