// Which situations a step of a core was in: finer than the names of its notes, and read from its event and
// effects alone. The counters feed coverage.ts; nothing here judges or influences a run (docs/testing.md,
// "Coverage").

import { Err } from "../../src/base/errors.ts";
import type { MetaEffect, MetaEvent } from "../../src/placement/io.ts";
import type { ReplicaEffect, ReplicaEvent } from "../../src/replication/io.ts";
import { type Operation, show } from "./linearizability.ts";

type Count = (name: string) => void;

/** A replica's step. */
export function countReplicaStep(
  count: Count,
  event: ReplicaEvent,
  out: readonly ReplicaEffect[],
): void {
  if (event.kind === "configReply" && event.error === Err.INVALID_VERSION) {
    count("config.invalidVersion");
  }
  for (const effect of out) {
    if (effect.kind === "note") countNote(count, effect.event, effect.details);
    else if (effect.kind === "reply") {
      if (effect.error === Err.BUSY) count("write.busy");
      if (effect.error === Err.SESSION_EXPIRED) count("write.sessionExpired");
      if (effect.error === Err.NOT_ENOUGH_MEMBER) count("write.notEnoughMember");
    } else if (effect.kind === "send" && effect.message.kind === "prepareAck") {
      if (effect.message.body.error === Err.TRY_AGAIN) count("ack.tryAgain");
    }
  }
}

function countNote(count: Count, event: string, details: Record<string, unknown>): void {
  switch (event) {
    case "learn":
      if (details.source !== undefined) count(`learn.from.${details.source}`);
      return;
    case "learned":
      if (Number(details.rounds) > 1) count("learn.severalRounds");
      return;
    case "reconcile":
      if (details.newReign === true) count("takeover.barrier");
      if (Number(details.end) - Number(details.committed) >= 2) count("takeover.reprepare2");
      return;
    case "reconfigure":
      if (details.change !== undefined) count(`reconfigure.${details.change}`);
      return;
    case "duplicate":
      return count(`duplicate.${details.in}`);
  }
}

/** A meta server's step. */
export function countMetaStep(count: Count, event: MetaEvent, out: readonly MetaEffect[]): void {
  const asked = event.kind === "request" ? event.request.name : "";
  for (const effect of out) {
    if (effect.kind === "send") {
      const { change, config } = effect.message;
      if (change !== "ASSIGN_PRIMARY" || config.lastDrops.length === 0) continue;
      count(config.lastDrops.length > 1 ? "ddd.chosenOfTwo" : "ddd.chosenOnly");
    } else if (effect.kind === "note") {
      const reason = String(effect.details.reason ?? "");
      if (effect.event === "noCandidate") count(`ddd.refused ${reasonKind(reason)}`);
    } else if (effect.kind === "fail") {
      if (asked === "configSync" && effect.error === Err.BUSY) {
        count(effect.detail.includes("being stored") ? "sync.busyInFlight" : "sync.busyUnknown");
      }
    } else if (effect.kind === "reply" && asked === "updateConfig") {
      // Answered in the step of its request: nothing was stored for it now.
      const { error } = effect.response as { error: number };
      if (error === Err.OK) count("meta.repeatedRequestOk");
    }
  }
}

/** A reason without the names in it. */
function reasonKind(reason: string): string {
  if (reason.endsWith("is dead")) return "dead";
  if (reason.endsWith("reported its replicas")) return "not reported";
  if (reason.includes("secondar")) return "secondaries";
  return "lost";
}

/** Whether anybody saw what a write of unknown outcome wrote: its values are unique. */
export function countUnknown(count: Count, operations: readonly Operation[]): void {
  const seen = new Set<string>();
  for (const { op, result } of operations) {
    if (op.kind === "get" && result !== undefined) seen.add(result);
  }
  for (const { op, result } of operations) {
    if (result !== undefined || op.kind !== "put") continue;
    const isSeen = op.rows.some(([, value]) => seen.has(show(value)));
    count(isSeen ? "unknown.observed" : "unknown.notObserved");
  }
}
