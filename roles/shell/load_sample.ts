// Two looks at the load of the whole cluster, and what happened in between. Every shard of every living replica
// server is asked; one that does not answer is left out and named.

import { StoreError } from "../../src/client/mod.ts";
import type { NodeInfo } from "../../src/client/mod.ts";
import type { LoadAnswer, LoadPair } from "../load_rates.ts";
import { shardAddresses } from "../shard_addresses.ts";
import type { Context } from "./context.ts";

/** What the shards of one server told. */
export interface NodeLoad {
  readonly node: NodeInfo;
  /** One for each shard that answered twice. */
  readonly pairs: readonly LoadPair[];
  /** Why it is not complete; "" if it is. */
  readonly error: string;
}

/** Looks twice, `intervalMs` apart; 0 = once, for what is no rate. Servers come sorted. */
export async function sampleLoad(
  context: Context,
  intervalMs: number,
  passes: (node: NodeInfo) => boolean = () => true,
): Promise<NodeLoad[]> {
  const nodes = (await context.admin.listNodes()).filter(passes)
    .toSorted((a, b) => a.node < b.node ? -1 : 1);
  const before = intervalMs === 0
    ? new Map<string, LoadAnswer | string>()
    : await lookAt(context, nodes);
  if (intervalMs > 0) await pause(intervalMs, context.signal);
  const after = await lookAt(context, nodes);
  return nodes.map((node) => {
    const pairs: LoadPair[] = [];
    let error = node.alive ? "" : "It is dead";
    for (const address of shardAddresses(node)) {
      const now = after.get(address);
      const then = before.get(address);
      if (typeof now === "string") error ||= now;
      else if (now !== undefined) {
        pairs.push({ before: typeof then === "string" ? undefined : then, after: now });
      }
    }
    return { node, pairs, error };
  });
}

/** Answers, or why there is none, by address of the shard. */
async function lookAt(
  { admin }: Context,
  nodes: readonly NodeInfo[],
): Promise<Map<string, LoadAnswer | string>> {
  const addresses = nodes.filter(({ alive }) => alive).flatMap(shardAddresses);
  const answers = await Promise.all(addresses.map(async (address) => {
    try {
      return await admin.replicaLoad(address);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return error.message;
    }
  }));
  return new Map(addresses.map((address, i) => [address, answers[i]!]));
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
