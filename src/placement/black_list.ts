// Servers that an operator keeps from getting new replicas: they go on with what they have. Invariant: the
// list in memory is what the store has confirmed. Rules: docs/meta.md, "Cure".

import { Err } from "../base/errors.ts";
import type { MetaBody, Token } from "./io.ts";
import { fail, type MetaState, note, type Reign, reply, write } from "./meta_state.ts";
import { BLACK_LIST_PATH, nodeListValue } from "./stored.ts";

/** Characters of a server's name; a host has at most 253. */
const NAME_MAX = 300;
/** Servers that may be listed: the list is one node of the store, which takes 1 MB. */
const LISTED_MAX = 1000;

/** Shows or changes the list; answered once it is stored. */
export function onBlackList(
  s: MetaState,
  reign: Reign,
  { action, node }: MetaBody<"blackList">,
  token: Token,
): void {
  const { nodes, version, busy } = reign.blackList;
  const next = new Set(nodes);
  if (action === "add") next.add(node);
  if (action === "remove") next.delete(node);
  // Also a server that is still to come may be listed.
  if (action !== "show" && (node.length > NAME_MAX || !/^\S+:\d+$/.test(node))) {
    const text = `"${node.slice(0, NAME_MAX)}" is no server: expected host:port`;
    return fail(s, token, Err.INVALID_ARGUMENT, text);
  }
  if (action === "add" && next.size > LISTED_MAX) {
    return fail(
      s,
      token,
      Err.BUSY,
      `There are ${LISTED_MAX} servers on the list, which is the most`,
    );
  }
  if (next.size === nodes.size) return reply<"blackList">(s, token, { nodes: [...nodes] });
  if (busy) return fail(s, token, Err.BUSY, "The list is being changed; try again");
  reign.blackList.busy = true;
  reign.waiting.add(token);
  const value = nodeListValue([...next]);
  const change = version < 0
    ? { op: "create" as const, path: BLACK_LIST_PATH, value }
    : { op: "set" as const, path: BLACK_LIST_PATH, value, version };
  write(s, reign, [change], ([stored]) => {
    reign.blackList = { nodes: next, version: stored!, busy: false };
    reign.nextCureAt = s.now.mono;
    note(s, "blackList", { node, action });
    reply<"blackList">(s, token, { nodes: [...next] });
  });
}
