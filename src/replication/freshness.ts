// How old the rows of a follower can be: when its primary last said what is committed, and all of that was
// applied here. Invariant: at `freshAt` the primary that sent the word had acknowledged nothing that is missing here; what
// travels with it is the commit point of the moment of sending, never one that was packed into a mutation
// earlier. Rules: docs/protocol.md, "Reads"; docs/data_api.md, "Follower reads".

import type { Decree } from "../base/ids.ts";
import type { ReplicaState } from "./state.ts";

/** Never. */
export const NEVER_FRESH = -Infinity;

/**
 * The primary's commit point was `committed` when it sent what has just arrived.
 *
 * @param reconcileEnd E(ballot): below it a new primary does not yet know what its predecessor acknowledged.
 */
export function hearCommit(s: ReplicaState, committed: Decree, reconcileEnd: Decree): void {
  if (committed < reconcileEnd) return;
  settle(s);
  if (s.applied >= committed) {
    s.freshAt = s.now;
    s.heard = undefined;
  } else {
    // While writes arrive all the time, the applied decree is always a little behind: one word is kept until
    // it is true here, and only then the next one.
    s.heard ??= { decree: committed, at: s.now };
  }
}

/** Monotonic ms up to which the rows here are complete, message delay apart; {@link NEVER_FRESH} if unknown. */
export function freshAt(s: ReplicaState): number {
  settle(s);
  return s.freshAt;
}

function settle(s: ReplicaState): void {
  if (s.heard === undefined || s.applied < s.heard.decree) return;
  s.freshAt = Math.max(s.freshAt, s.heard.at);
  s.heard = undefined;
}
