// Signs of life: beacons, and connections that break. Invariants: a beacon is acknowledged only while the lead
// is proven, and only to a server whose data belongs to this store and whose lease ends before this leader gives
// its partitions away; a server is dead by proof or by the detector's verdict, never by a guess. Rules: docs/meta.md, "Failure detector", "Recovery".

import type { NodeId } from "../base/ids.ts";
import { onDead } from "./cure.ts";
import { remember } from "./drain.ts";
import type { MetaBody, Token } from "./io.ts";
import { leads, type MetaState, note, type Reign, reply } from "./meta_state.ts";
import { isForeign, wantsStored } from "./recovery.ts";

/** A crash should not cost a whole grace period: ask the server's address whether anybody is there. */
export function onConnectionLost(s: MetaState, node: NodeId): void {
  const { reign } = s;
  if (reign === undefined || !reign.started || !s.settings.fastFailover) return;
  if (reign.detector.isAlive(node)) s.out.push({ kind: "probe", node });
}

/** The server's own address refused a connection: its process is gone. */
export function onRefused(s: MetaState, name: NodeId, probedAt: number): void {
  const { reign } = s;
  if (reign === undefined || !reign.started || !leads(s)) return;
  const node = reign.detector.refused(name, probedAt);
  if (node !== undefined) onDead(s, reign, [node]);
}

/** A server is alive, and asks for a longer lease. */
export function onBeacon(s: MetaState, token: Token, beacon: MetaBody<"beacon">): void {
  const { reign } = s;
  const { sentAt, node, incarnation } = beacon;
  if (reign === undefined || !leads(s)) {
    // An ack would prolong a lease that the next leader knows nothing of (M10). Hearing is
    // harmless: a store that was slow for a while must not make everybody look dead.
    reign?.detector.beacon(beacon, s.now.mono);
    const leader = reign === undefined ? s.leader : "";
    return reply<"beacon">(s, token, {
      ...{ sentAt, isLeader: false, leader, allowed: true, syncHint: 0 },
      ...{ store: "", wantsStored: false },
    });
  }
  const { store } = reign.identity;
  const ack = {
    sentAt,
    isLeader: true,
    leader: s.self,
    store,
    wantsStored: wantsStored(reign, node),
  };
  if (reign.started && isForeign(reign.identity, beacon.store)) {
    if (reign.foreign.get(node)?.store !== beacon.store) {
      note(s, "foreignServer", { node, store: beacon.store, ours: store });
    }
    reign.foreign.set(node, { store: beacon.store, heardAt: s.now.mono });
    const answer = { ...ack, allowed: false, syncHint: 0 };
    return reply<"beacon">(s, token, answer);
  }
  reign.foreign.delete(node);
  if (isLeaseTooLong(s, reign, beacon)) {
    return reply<"beacon">(s, token, { ...ack, allowed: false, syncHint: 0 });
  }
  if (reign.detector.get(node) === undefined && !mayJoin(s, node)) {
    note(s, "notListed", { node });
    return reply<"beacon">(s, token, { ...ack, allowed: false, syncHint: 0 });
  }
  const outcome = reign.detector.beacon(beacon, s.now.mono);
  const allowed = outcome !== "stale";
  switch (outcome) {
    case "known":
      break;
    case "stale":
      note(s, "staleBeacon", { node, incarnation });
      break;
    case "alive":
      note(s, "nodeAlive", { node, incarnation });
      reign.nextCureAt = s.now.mono;
      break;
    case "restarted":
      // The old process is gone, but its replicas are still members: each decides with its
      // partition whether it may go on - a primary by asking for the next ballot, a secondary by
      // asking its primary.
      note(s, "nodeRestarted", { node, incarnation });
      break;
  }
  if (allowed) remember(s, reign, node);
  if (outcome === "alive" || outcome === "restarted") noteUnstable(s, reign, node);
  const syncHint = reign.detector.get(node)?.syncHint ?? 0;
  reply<"beacon">(s, token, { ...ack, allowed, syncHint });
}

/**
 * Whether the server would still serve when this leader takes it for dead: both are started with settings of
 * their own, and nothing else compares them. Said once for each start of the server.
 */
function isLeaseTooLong(s: MetaState, reign: Reign, beacon: MetaBody<"beacon">): boolean {
  const { node, incarnation, leaseMs } = beacon;
  const { graceMs } = s.settings;
  if (leaseMs < graceMs) {
    reign.longLeases.delete(node);
    return false;
  }
  if (reign.longLeases.get(node) !== incarnation) {
    note(s, "leaseTooLong", { node, incarnation, leaseMs, graceMs });
  }
  reign.longLeases.set(node, incarnation);
  return true;
}

function mayJoin(s: MetaState, node: NodeId): boolean {
  const { allowList } = s.settings;
  return allowList === "" || allowList.split(",").includes(node);
}

function noteUnstable(s: MetaState, reign: Reign, node: NodeId): void {
  if (!reign.detector.isUnstable(node, s.now.mono)) return;
  const { restarts } = reign.detector.get(node)!;
  note(s, "nodeUnstable", { node, restarts, forMs: s.settings.unstableWindowMs });
}
