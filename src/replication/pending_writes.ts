// What a conditional write must see beside the engine: the newest version of a row among the mutations that are not
// applied yet. Rules: docs/protocol.md, "Write path" (§5.2).

import { equalBytes } from "../base/bytes.ts";
import { readBody } from "../schema/mutation_body.ts";
import type { PendingView } from "./io.ts";
import type { ReplicaState } from "./state.ts";

/** The writes in flight as seen by an operation that must know a row's newest value. */
export class PendingWrites implements PendingView {
  constructor(readonly s: ReplicaState) {}

  lookup(key: Uint8Array): Uint8Array | null | undefined {
    const { s } = this;
    for (let decree = s.list.maxPrepared; decree > s.applied; decree--) {
      const body = s.list.get(decree)!.mutation.body;
      let found: Uint8Array | null | undefined;
      readBody(body, {
        put: (k, value) => {
          if (equalBytes(k, key)) found = value;
        },
        remove: (k) => {
          if (equalBytes(k, key)) found = null;
        },
      });
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
