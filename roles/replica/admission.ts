// The door of a shard for client requests: finds the replica, turns away what the table, the lease or the
// replica's role forbid, and makes requests above the table's limits wait. It decides nothing about replication.
// Invariants: a linearizable read passes the lease at the moment it is served (§8); a request that waited is
// checked again in full, only not throttled twice. docs/data_api.md, "Throttling", "Follower reads".

import type { Clock, Now } from "../../src/base/clock.ts";
import { Err } from "../../src/base/errors.ts";
import type { PartitionId } from "../../src/base/ids.ts";
import type { WriteRequest } from "../../src/replication/io.ts";
import type { IncomingCall } from "../../src/rpc/contract.ts";
import { Right } from "../../src/schema/access.ts";
import type { LeaseGate } from "./control_link.ts";
import { DelayLine } from "./delay_line.ts";
import type { ReplicaMachine } from "./driver_host.ts";
import { type Readable, type ReadHead, type ReadHost, refusable } from "./read_handlers.ts";
import type { ReplicaDriver } from "./replica_driver.ts";
import type { WriteCall } from "./write_calls.ts";
import type { Verdict } from "./throttle.ts";

/** What admission needs of its shard. */
export interface AdmissionHost {
  readonly clock: Clock;
  readonly lease: LeaseGate;
  readonly drivers: ReadonlyMap<PartitionId, ReplicaDriver>;
  /** True while the shard stops. */
  readonly isStopping: () => boolean;
  /** The replica has something to flush. */
  readonly touch: (driver: ReplicaDriver) => void;
  /** Forms mutations of what was admitted outside of a batch of input. */
  readonly flush: () => void;
  /** A request met a limit of its table. */
  readonly throttled?: (kind: "read" | "write", verdict: Verdict["kind"]) => void;
}

/** See the file comment. */
export class Admission implements Pick<ReadHost, "find" | "reader"> {
  readonly #host: AdmissionHost;
  readonly #line: DelayLine;

  constructor(host: AdmissionHost) {
    this.#host = host;
    this.#line = new DelayLine(() => host.clock.now().mono, host.flush);
  }

  /** Requests that wait because of a throttle. */
  get waiting(): number {
    return this.#line.size;
  }

  /** The replica of a partition, or undefined after the refusal was sent. */
  find(partition: PartitionId, call: IncomingCall<never>): ReplicaDriver | undefined {
    const driver = this.#host.drivers.get(partition);
    if (driver === undefined) call.fail(Err.OBJECT_NOT_FOUND);
    return driver;
  }

  /** The replica that may answer this read now; otherwise it was answered, or waits for `again`. */
  reader(
    head: ReadHead,
    call: IncomingCall<never>,
    now: Now,
    again: (() => void) | undefined,
  ): Readable | undefined {
    const driver = this.find(head.partition, call);
    if (driver === undefined) return undefined;
    const { engine, guard, scans } = driver;
    const forbidden = guard.forbids(call.who, Right.READ);
    if (forbidden !== undefined) return void call.fail(forbidden.error, forbidden.detail);
    const denied = guard.denies("read");
    if (denied !== undefined) return deny(denied, call);
    if (engine === undefined || !this.#mayRead(driver.core, head, now)) {
      call.fail(Err.INVALID_STATE);
      return undefined;
    }
    if (again !== undefined) {
      const verdict = guard.admitRead(head.stale ?? false, now.mono);
      if (verdict !== undefined) {
        this.#host.throttled?.("read", verdict.kind);
        this.#hold(verdict, call, now, again);
        return undefined;
      }
    }
    return { engine, guard, scans };
  }

  /** Takes a checked write for a partition, or answers it. */
  write(partition: PartitionId, request: WriteRequest, call: WriteCall, waited = false): void {
    const refuse = refusable(call);
    const driver = this.find(partition, refuse);
    if (driver === undefined) return;
    const { guard } = driver;
    const { who } = call;
    // What a conditional write answers tells what was read.
    const needed = isBlind(request.op.kind) ? Right.WRITE : Right.READ | Right.WRITE;
    const forbidden = guard.forbids(who, needed);
    if (forbidden !== undefined) return call.fail(forbidden.error, forbidden.detail);
    const denied = guard.denies("write");
    if (denied !== undefined) return void deny(denied, refuse);
    const now = this.#host.clock.now();
    if (!this.#host.lease.heldAt(now) || this.#host.isStopping()) {
      return call.fail(Err.INVALID_STATE);
    }
    if (!guard.ownsWrite(request.op)) return call.fail(Err.PARENT_PARTITION_MISUSED);
    if (!waited) {
      const verdict = guard.admitWrite(request.bytes, now.mono);
      if (verdict !== undefined) {
        this.#host.throttled?.("write", verdict.kind);
        const again = () => this.write(partition, request, call, true);
        return this.#hold(verdict, refuse, now, again);
      }
    }
    driver.deliver({ kind: "write", request });
    this.#host.touch(driver);
  }

  /** Hands over a write of the server's own, and turns it into a mutation at once. */
  propose(driver: ReplicaDriver, request: WriteRequest): void {
    driver.deliver({ kind: "write", request });
    this.#host.touch(driver);
    this.#host.flush();
  }

  /** Lets go whoever has waited long enough. */
  tick(): void {
    this.#line.step();
  }

  /** Nobody waits any more: the shard stops, and refuses them. */
  close(): void {
    this.#line.close();
  }

  /** Whether the replica's role and lease allow the read (§8). */
  #mayRead(core: ReplicaMachine, head: ReadHead, now: Now): boolean {
    // A scan goes on with what it took when it was opened: the continuation needs no lease.
    const stale = head.stale ?? true;
    const { status } = core;
    if (!stale) return core.readable && this.#host.lease.heldAt(now);
    const ageMax = head.stalenessMaxMs ?? 0;
    if (ageMax === 0) return status === "primary" || status === "secondary";
    if (status === "primary") return core.readable && this.#host.lease.heldAt(now);
    return status === "secondary" && now.mono - core.freshAt <= ageMax;
  }

  /** Waiting for half of the caller's patience at most, it still gets its answer in time. */
  #hold(verdict: Verdict, call: IncomingCall<never>, now: Now, again: () => void): void {
    const ms = Math.min(verdict.ms, Math.max(0, call.deadline - now.mono) / 2);
    const refuse = () => call.fail(Err.BUSY, "The table's limit is reached");
    const rejected = verdict.kind === "reject";
    if (rejected && ms === 0) return refuse();
    if (!this.#line.add(ms, rejected ? refuse : again)) refuse();
  }
}

/** Whether the answer to a write tells nothing of what was stored before. */
function isBlind(kind: WriteRequest["op"]["kind"]): boolean {
  return kind !== "incr" && kind !== "checkAndSet" && kind !== "checkAndMutate";
}

/** `timeout` leaves the request without an answer, on purpose: the client shall think the server is away. */
function deny(mode: "timeout" | "reconfig", call: IncomingCall<never>): undefined {
  if (mode === "reconfig") call.fail(Err.INVALID_STATE, "The table denies client requests");
}
