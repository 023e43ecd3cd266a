// Every RPC of the system, once. Duplicate codes stop the program at start.

import { assert } from "../base/assert.ts";
import * as access from "./access_rpc.ts";
import * as client from "./client_rpc.ts";
import * as load from "./load_rpc.ts";
import * as meta from "./meta_rpc.ts";
import * as operator from "./operator_rpc.ts";
import * as replica from "./replica_rpc.ts";
import type { AnyRpc } from "./rpc.ts";

function isRpc(value: unknown): value is AnyRpc {
  return typeof value === "object" && value !== null && "code" in value && "request" in value;
}

/** All declared RPCs by code. */
export const RPC_BY_CODE: ReadonlyMap<number, AnyRpc> = (() => {
  const byCode = new Map<number, AnyRpc>();
  const files = [access, client, load, replica, meta, operator];
  for (const exported of files.flatMap((file) => Object.values<unknown>(file))) {
    if (!isRpc(exported)) continue;
    const taken = byCode.get(exported.code);
    assert(taken === undefined, "Two RPCs have one code", {
      code: exported.code,
      name: exported.name,
    });
    byCode.set(exported.code, exported);
  }
  return byCode;
})();

/** Name of an RPC code for logs; `"rpc_999"` if unknown. */
export function rpcName(code: number): string {
  return RPC_BY_CODE.get(code)?.name ?? `rpc_${code}`;
}
