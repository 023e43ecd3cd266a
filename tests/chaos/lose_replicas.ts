// A server that comes back with nothing and learns all its replicas anew, while others stand still now and then.

import type { Prng } from "../../src/base/prng.ts";
import type { ChaosCluster } from "./cluster.ts";

const PAUSES = 10;

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** @returns What was done, in words. */
export async function loseReplicas(
  { cluster, chance }: { readonly cluster: ChaosCluster; readonly chance: Prng },
  name: string,
): Promise<string> {
  await cluster.kill(name);
  Deno.removeSync(`${cluster.dataDirOf(name)}/replicas`, { recursive: true });
  await cluster.start(name);
  for (let i = 0; i < PAUSES; i++) {
    const other = cluster.replicas[chance.below(cluster.replicas.length)]!;
    cluster.pause(other);
    try {
      await sleep(chance.below(200));
    } finally {
      cluster.resume(other);
    }
    await sleep(chance.below(60));
  }
  return `${name}, all replicas, ${PAUSES} pauses`;
}
