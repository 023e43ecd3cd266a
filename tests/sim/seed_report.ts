// One seed's outcome as plain data, so that it can come from another thread.

import { type Bend, bend } from "./shrink.ts";
import { formatHeader, formatHistoryEntry } from "./history.ts";
import type { Swarm } from "./swarm.ts";
import { runSeed } from "./world.ts";
import type { Trace } from "./trace.ts";

/** What to run. */
export interface SeedOrder {
  readonly seed: string;
  /** Whole servers, whatever the seed draws. */
  readonly whole: boolean;
  /** Directory for what the clients saw; "" = nowhere. */
  readonly histories: string;
  /** Smaller than what the seed draws. */
  readonly bend: Bend;
}

/** How it went. */
export interface SeedReport {
  readonly seed: string;
  readonly hash: string;
  readonly events: number;
  readonly operations: number;
  readonly coverage: readonly (readonly [name: string, count: number])[];
  readonly failure: { rule: string; message: string; stack: string | undefined } | undefined;
  /** With a failure: what the seed drew, and the last things that happened. */
  readonly swarm: Swarm | undefined;
  readonly tail: readonly string[];
}

const TAIL = 200;

/** Runs one seed. */
export async function runOrder(order: SeedOrder, onTrace?: Trace["onEntry"]): Promise<SeedReport> {
  const { seed, whole, histories } = order;
  const result = await runSeed({
    seed,
    adjust: (drawn) => bend(whole ? { ...drawn, whole: true } : drawn, order.bend),
    ...(onTrace === undefined ? {} : { onTrace }),
  });
  const { hash, events, history, failure } = result;
  if (histories !== "") {
    Deno.mkdirSync(histories, { recursive: true });
    const name = `sim-${seed.replace(/[^A-Za-z0-9_-]/g, "_")}.jsonl`;
    const lines = [formatHeader(`simulator, seed ${seed}`), ...history.map(formatHistoryEntry)];
    Deno.writeTextFileSync(`${histories}/${name}`, lines.join("\n") + "\n");
  }
  return {
    ...{ seed, hash, events, failure },
    operations: history.length,
    coverage: result.coverage.entries(),
    swarm: failure === undefined ? undefined : result.swarm,
    tail: failure === undefined ? [] : result.tail(TAIL),
  };
}
