// Servers that leave for a while, or for good. Invariants: the drained and the forgotten servers are what the
// store has confirmed; a server is forgotten only when no configuration counts on it. Rules: docs/meta.md,
// "Drain".

import { Err } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import { membersOf } from "./config_change.ts";
import type { MetaBody, StoreChange, Token } from "./io.ts";
import { fail, type MetaState, note, type Reign, reply, write } from "./meta_state.ts";
import { DRAINED_PATH, FORGOTTEN_PATH, nodeListValue } from "./stored.ts";

/** Where each list is stored. */
const PATHS = { drained: DRAINED_PATH, forgotten: FORGOTTEN_PATH } as const;
type Lists = { readonly [Name in keyof typeof PATHS]?: ReadonlySet<NodeId> };

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
  const { nodes } = reign.drained;
  const next = new Set(nodes);
  if (drained) next.add(node);
  else next.delete(node);
  if (drained && reign.detector.get(node) === undefined) {
    return fail(s, token, Err.OBJECT_NOT_FOUND, `No replica server "${node}" is known`);
  }
  if (next.size === nodes.size) return reply<"drain">(s, token, { drained: [...nodes] });
  if (isBusy(reign)) return fail(s, token, Err.BUSY, BUSY_TEXT);
  const alive = [...reign.detector.nodes].filter((other) => other.alive);
  if (drained && alive.every((other) => next.has(other.node))) {
    const text = `Every alive server would be drained; add one before "${node}" is drained`;
    return fail(s, token, Err.INVALID_ARGUMENT, text);
  }
  reign.waiting.add(token);
  storeLists(s, reign, { drained: next }, () => {
    const { balance } = reign;
    // What it had is spread evenly over the others: nobody should have to ask for that.
    if (drained && !balance.running) Object.assign(balance, { running: true, started: 0 });
    balance.nextAt = -Infinity;
    note(s, "drain", { node, drained });
    reply<"drain">(s, token, { drained: [...next] });
  });
}

const BUSY_TEXT = "Another server is being marked; try again";

function isBusy({ drained, forgotten }: Reign): boolean {
  return drained.busy || forgotten.busy;
}

/** Writes the lists that are given, all or none; `done` runs when they are stored. */
function storeLists(s: MetaState, reign: Reign, lists: Lists, done: () => void): void {
  const names = Object.keys(lists) as (keyof Lists)[];
  const changes = names.map((name): StoreChange => {
    const { version } = reign[name];
    reign[name].busy = true;
    const [path, value] = [PATHS[name], nodeListValue([...lists[name]!])];
    return version < 0 ? { op: "create", path, value } : { op: "set", path, value, version };
  });
  write(s, reign, changes, (versions) => {
    for (const [i, name] of names.entries()) {
      reign[name] = { nodes: lists[name]!, version: versions[i]!, busy: false };
    }
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
  const lost = lostMembers(reign);
  const isMarked = reign.drained.nodes.has(node);
  // A partition that lost everybody would wait for it, also under a leader that never met it.
  const isMissed = lost.has(node) && !reign.forgotten.nodes.has(node);
  if (state === undefined && !isMarked && !isMissed) {
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
    reign.nextCureAt = s.now.mono;
    note(s, "drain", { node, forgotten: true });
    reply<"forgetNode">(s, token, {});
  };
  if (!isMarked && !isMissed) return done();
  if (isBusy(reign)) return fail(s, token, Err.BUSY, BUSY_TEXT);
  const drained = new Set([...reign.drained.nodes].filter((other) => other !== node));
  const forgotten = new Set([...reign.forgotten.nodes, node].filter((other) => lost.has(other)));
  const lists = { ...isMarked ? { drained } : {}, ...isMissed ? { forgotten } : {} };
  reign.waiting.add(token);
  storeLists(s, reign, lists, done);
}

/** A forgotten server is back: it counts again, and gets nothing before that is stored. */
export function remember(s: MetaState, reign: Reign, node: NodeId): void {
  const { nodes } = reign.forgotten;
  if (!nodes.has(node) || isBusy(reign)) return;
  const forgotten = new Set([...nodes].filter((other) => other !== node));
  storeLists(s, reign, { forgotten }, () => reign.nextCureAt = s.now.mono);
}

/** Servers that some partition remembers as lost members. */
function lostMembers(reign: Reign): Set<NodeId> {
  const lost = new Set<NodeId>();
  for (const { partitions } of reign.cluster.tables.values()) {
    for (const { config } of partitions) {
      for (const node of config.lastDrops) lost.add(node);
    }
  }
  return lost;
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
