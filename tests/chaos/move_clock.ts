// The wall clock of one server jumps and comes back. No lease may be prolonged by it, which the clients of registers
// would see as stale reads, and no row may go before its time.

import type { Prng } from "../../src/base/prng.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { FakeClock } from "../fake_clock.ts";
import { SORT, type Workload } from "./workload.ts";

const DAY_SECONDS = 86_400;
const LIFE_SECONDS = 10 * DAY_SECONDS;
/** For answers to the driver itself; how late clients are answered, the workload judges. */
const PATIENCE_MS = 60_000;

/** Whether an operation was answered in the end, whoever leads. */
function answered(operation: () => Promise<unknown>): Promise<boolean> {
  return waitFor(() => operation().then(() => true, () => false), PATIENCE_MS);
}

/**
 * Moves a clock by so many seconds, and back, each time for longer than a lease.
 *
 * @throws {Error} If a row that lives for days does not.
 */
export async function moveClock(
  { workload: { table }, chance }: { readonly workload: Workload; readonly chance: Prng },
  clock: FakeClock,
  seconds: number,
  leaseMs: number,
): Promise<void> {
  const row = `keeps its time ${chance.below(1e9)}`;
  await answered(() => table.set(row, SORT, row, { ttl: LIFE_SECONDS }));
  for (const offset of [seconds, 0]) {
    clock.set(offset);
    await new Promise((resolve) => setTimeout(resolve, FakeClock.seenMs + leaseMs));
    let left: number | undefined;
    await answered(async () => left = await table.ttl(row, SORT));
    if (left === undefined || Math.abs(left - LIFE_SECONDS) > 2 * DAY_SECONDS) {
      throw new Error(`A row of ${LIFE_SECONDS} s has ${left} s with a clock at ${offset} s`);
    }
  }
}
