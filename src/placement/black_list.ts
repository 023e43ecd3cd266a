// Servers that an operator keeps from getting new replicas: they go on with what they have. Invariant: the
// list in memory is what the store has confirmed. Rules: docs/meta.md, "Cure".

import { Err } from "../base/errors.ts";
import type { MetaBody, Token } from "./io.ts";
import { fail, type MetaState, note, type Reign, reply, write } from "./meta_state.ts";
import { BLACK_LIST_PATH, nodeListValue } from "./stored.ts";

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
  if (action !== "show" && !/^\S+:\d+$/.test(node)) {
    return fail(s, token, Err.INVALID_ARGUMENT, `"${node}" is no server: expected host:port`);
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
