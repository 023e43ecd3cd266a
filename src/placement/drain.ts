// Servers that leave for a while, or for good. Invariants: the drained servers are what the store has
// confirmed; a server is forgotten only when no configuration counts on it. Rules: docs/meta.md,
// "Drain".

import { Err } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import { membersOf } from "./config_change.ts";
import type { MetaBody, Token } from "./io.ts";
import { fail, type MetaState, note, type Reign, reply, write } from "./meta_state.ts";
import { DRAINED_PATH, nodeListValue } from "./stored.ts";

/** Whether the server gets nothing new: an operator empties it, or it is about to end. */
export function isDrained(reign: Reign, node: NodeId): boolean {
  return reign.drained.nodes.has(node) || reign.detector.get(node)?.stats?.draining === true;
}

/** Marks a server as drained, or takes the mark away; answered once it is stored. */
export function onDrain(
  s: MetaState,
  reign: Reign,
  { node, drained }: MetaBody<"drain">,
  token: Token,
): void {
  const { nodes, busy } = reign.drained;
  const next = new Set(nodes);
  if (drained) next.add(node);
  else next.delete(node);
  if (drained && reign.detector.get(node) === undefined) {
    return fail(s, token, Err.OBJECT_NOT_FOUND, `No replica server "${node}" is known`);
  }
  if (next.size === nodes.size) return reply<"drain">(s, token, { drained: [...nodes] });
  if (busy) return fail(s, token, Err.BUSY, "Another server is being marked; try again");
  const alive = [...reign.detector.nodes].filter((other) => other.alive);
  if (drained && alive.every((other) => next.has(other.node))) {
    const text = `Every alive server would be drained; add one before "${node}" is drained`;
    return fail(s, token, Err.INVALID_ARGUMENT, text);
  }
  storeDrained(s, reign, next, token, () => {
    const { balance } = reign;
    // What it had is spread evenly over the others: nobody should have to ask for that.
    if (drained && !balance.running) Object.assign(balance, { running: true, started: 0 });
    balance.nextAt = -Infinity;
    note(s, "drain", { node, drained });
    reply<"drain">(s, token, { drained: [...next] });
  });
}

/** Writes the set; `done` runs when it is stored. */
function storeDrained(
  s: MetaState,
  reign: Reign,
  next: ReadonlySet<NodeId>,
  token: Token,
  done: () => void,
): void {
  const { version } = reign.drained;
  reign.drained.busy = true;
  reign.waiting.add(token);
  const value = nodeListValue([...next]);
  const change = version < 0
    ? { op: "create" as const, path: DRAINED_PATH, value }
    : { op: "set" as const, path: DRAINED_PATH, value, version };
  write(s, reign, [change], ([stored]) => {
    reign.drained = { nodes: next, version: stored!, busy: false };
    done();
  });
}

/** Forgets a server that is gone for good: it is no longer listed, counted or expected. */
export function onForgetNode(
  s: MetaState,
  reign: Reign,
  { node }: MetaBody<"forgetNode">,
  token: Token,
): void {
  const state = reign.detector.get(node);
  const { nodes, busy } = reign.drained;
  if (state === undefined && !nodes.has(node)) {
    return fail(s, token, Err.OBJECT_NOT_FOUND, `No replica server "${node}" is known`);
  }
  const held = partitionsOf(reign, node);
  if (held > 0) {
    const text = `"${node}" is still a member of ${held} partitions: drain it, or wait until ` +
      "others have taken its place";
    return fail(s, token, Err.INVALID_STATE, text);
  }
  if (state?.alive === true) {
    const text = `"${node}" is alive and would be back with its next beacon: stop its process, ` +
      "then wait until it is shown as UNALIVE";
    return fail(s, token, Err.INVALID_STATE, text);
  }
  const done = () => {
    // It was dead when it was asked for, and may have come back while the mark was being taken away.
    if (reign.detector.isAlive(node)) {
      return fail(s, token, Err.INVALID_STATE, `"${node}" came back; its mark is gone`);
    }
    reign.detector.forget(node);
    note(s, "drain", { node, forgotten: true });
    reply<"forgetNode">(s, token, {});
  };
  if (!nodes.has(node)) return done();
  if (busy) return fail(s, token, Err.BUSY, "Another server is being marked; try again");
  const next = new Set(nodes);
  next.delete(node);
  storeDrained(s, reign, next, token, done);
}

/** Partitions whose stored or coming configuration has the server as a member. */
function partitionsOf(reign: Reign, node: NodeId): number {
  let count = 0;
  for (const { partitions } of reign.cluster.tables.values()) {
    for (const { config, inFlight, actions } of partitions) {
      const isMember = membersOf(config).includes(node) ||
        (inFlight !== undefined && membersOf(inFlight.next).includes(node)) ||
        actions.some((action) => action.node === node && action.change.startsWith("ADD"));
      if (isMember) count++;
    }
  }
  return count;
}
