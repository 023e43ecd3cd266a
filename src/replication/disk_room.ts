// A full disk in a group: writes are refused while any member's disk is full, because every member must log them;
// reads go on. A member tells its primary when that changes, and with every answer to a group check. Rules:
// docs/protocol.md, "Failures of disk and engine" (§13).

import type { NodeId } from "../base/ids.ts";
import { failQueue } from "./execution.ts";
import { Err } from "../base/errors.ts";
import { head, note, type ReplicaState, send } from "./state.ts";

/** Whether a write would only wait for room on some member's disk. */
export function isShortOfSpace(s: ReplicaState): boolean {
  return s.diskFull || (s.primary !== undefined && s.primary.fullMembers.size > 0);
}

/** The own disk became full, or has room again. */
export function onDisk(s: ReplicaState, full: boolean): void {
  if (s.diskFull === full) return;
  s.diskFull = full;
  note(s, "disk", { full });
  if (s.status === "primary" && full) refuseQueued(s);
  if (s.status === "secondary") answerCheck(s, s.primaryNode, 0);
}

/** What a member says about its disk. */
export function onMemberDisk(s: ReplicaState, node: NodeId, full: boolean): void {
  const { fullMembers, secondaries } = s.primary!;
  if (!secondaries.has(node) || fullMembers.has(node) === full) return;
  note(s, "disk", { full, node });
  if (full) {
    fullMembers.add(node);
    refuseQueued(s);
  } else fullMembers.delete(node);
}

function refuseQueued(s: ReplicaState): void {
  failQueue(s, Err.DISK_INSUFFICIENT);
}

/** Tells a primary how this replica stands. */
export function answerCheck(s: ReplicaState, to: NodeId, signature: number): void {
  send(s, to, {
    kind: "groupCheckReply",
    body: {
      ...head(s),
      signature,
      // Damaged, it asks to be removed (§13).
      status: s.damage === undefined ? s.status : "error",
      committed: s.list.committed,
      lastPrepared: s.list.lastPrepared,
      learned: s.learner?.phase === "learned",
      diskFull: s.diskFull,
    },
  });
}
