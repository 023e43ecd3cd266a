// The calls behind the tokens of writes.

import type { Now } from "../../src/base/clock.ts";
import { Err } from "../../src/base/errors.ts";
import type { ReplicaEffect, ReplicaEvent } from "../../src/replication/io.ts";
import type { IncomingCall } from "../../src/rpc/contract.ts";
import type { ReplicaMachine } from "./driver_host.ts";

/** The token of a write is the call to answer. */
export type WriteCall = IncomingCall<{ decree: number; result: Uint8Array | undefined }>;

/** Writes behind the event that closed the replica were certainly not done. */
export function refuse(queue: ReplicaEvent[], from: number): void {
  for (let i = from; i < queue.length; i++) {
    const event = queue[i]!;
    if (event.kind === "write") (event.request.token as WriteCall).fail(Err.INVALID_STATE);
  }
  queue.length = from;
}

/** Answers every write that a core knows of: it has lost contact with meta, and does nothing else any more. */
export function answerAll(core: ReplicaMachine, now: Now): void {
  const effects: ReplicaEffect[] = [];
  try {
    core.step({ kind: "metaContact", connected: false }, now, effects);
  } catch {
    // It may be a bug in the core that ends the replica.
  }
  for (const effect of effects) if (effect.kind === "reply") answer(effect);
}

/** Answers a write. */
export function answer(effect: Extract<ReplicaEffect, { kind: "reply" }>): void {
  const call = effect.token as WriteCall;
  if (effect.error === Err.OK) call.reply({ decree: effect.decree, result: effect.result });
  else call.fail(effect.error);
}
