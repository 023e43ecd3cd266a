// The driver of one replica in a world of its own: a scripted core, an engine in memory and a store that remembers.

import { systemClock } from "../../../src/base/clock.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { SILENT } from "../../../src/observe/logger.ts";
import type { ReplicaEffect, ReplicaEvent } from "../../../src/replication/io.ts";
import type { Mutation } from "../../../src/schema/mutation.ts";
import { encodeBody } from "../../../src/schema/mutation_body.ts";
import type { ReplicaReport } from "../../../src/schema/types.ts";
import type { LogRecord } from "../../../storage/log.ts";
import type {
  Fate,
  Pull,
  ReplicaDriverHost,
  ReplicaMachine,
} from "../../../roles/replica/driver_host.ts";
import { ReplicaDriver } from "../../../roles/replica/replica_driver.ts";
import { FakeStore } from "./fake_store.ts";

const P = partitionId(1, 0);
/** Of the row that `mutation` writes. */
export const KEY = new Uint8Array([0, 1, 104]);

/** A core that remembers its events and answers each with scripted effects. */
class FakeCore implements ReplicaMachine {
  readonly freshAt = -Infinity;
  readonly partition = P;
  readonly status = "primary" as const;
  ballot = 1;
  committed = 0;
  applied = 0;
  durable = 0;
  readable = true;
  sessionsImage = new Uint8Array([7]);
  readonly events: ReplicaEvent[] = [];
  script: (event: ReplicaEvent) => ReplicaEffect[] = () => [];

  learnerSignature(): number {
    return 0;
  }
  report(): Omit<ReplicaReport, "bytes" | "disk"> {
    const { partition, status, ballot, committed, applied, durable } = this;
    const prepared = { lastPrepared: committed, maxPrepared: committed, mutationBallot: 0 };
    return { partition, status, ballot, committed, applied, durable, ...prepared };
  }
  step(event: ReplicaEvent, _now: unknown, out: ReplicaEffect[]): void {
    this.events.push(event);
    out.push(...this.script(event));
  }
  kinds(): string[] {
    return this.events.map((event) => event.kind);
  }
}

/** See the file comment; it is also what the driver needs of its shard. */
export class World implements ReplicaDriverHost {
  readonly clock = systemClock;
  readonly logger = SILENT;
  chance(): number {
    return 1;
  }
  readonly core = new FakeCore();
  readonly store = new FakeStore(P);
  readonly driver = new ReplicaDriver({ core: this.core, store: this.store, host: this });
  readonly appended: { token: number; record: LogRecord }[] = [];
  readonly finished: { reason: string; fate: Fate }[] = [];
  pulls: Pull[] = [];
  image: (pull: Pull) => Promise<{ decree: number; sessions: Uint8Array }> = () =>
    Promise.resolve({ decree: 9, sessions: new Uint8Array([1]) });

  append(_driver: ReplicaDriver, token: number, record: LogRecord): void {
    this.appended.push({ token, record });
  }
  send(): void {}
  pullImage(pull: Pull): Promise<{ decree: number; sessions: Uint8Array }> {
    this.pulls.push(pull);
    return this.image(pull);
  }
  async pullLog(): Promise<void> {}
  updateConfig(): void {}
  requestConfigSync(): void {}
  async release(): Promise<void> {}
  full = false;
  noSpace(): void {
    this.full = true;
  }
  isFull(): boolean {
    return this.full;
  }
  onFinished(_driver: ReplicaDriver, reason: string, fate: Fate): void {
    this.finished.push({ reason, fate });
  }

  /** Delivers a tick that the core answers with these effects. */
  do(...effects: ReplicaEffect[]): void {
    this.core.script = (event) => event.kind === "tick" ? effects : [];
    this.driver.deliver({ kind: "tick" });
  }
  async until(kind: ReplicaEvent["kind"]): Promise<ReplicaEvent> {
    for (let i = 0; i < 1000; i++) {
      const found = this.core.events.find((event) => event.kind === kind);
      if (found !== undefined) return found;
      await turn();
    }
    throw new Error(`No ${kind} event; got ${this.core.kinds().join(", ")}`);
  }
}

/** Lets whatever is ready go on. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** A mutation that sets one row to one byte. */
export function mutation(decree: number, value: number): Mutation {
  const body = encodeBody([], [{ key: KEY, value: new Uint8Array([value]) }]);
  return { ballot: 1, decree, lastCommitted: decree - 1, timestampUs: decree, body };
}
