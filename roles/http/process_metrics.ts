// What the process itself tells: memory, processor, descriptors, and how late the event loop is. All but
// the last is measured when somebody asks. Names follow Prometheus' own libraries (process_*).

import nodeProcess from "node:process";
import type { MetricRegistry } from "../../src/observe/metric.ts";
import type { METRICS } from "../../src/observe/metrics.ts";
import { BEAT_MS, everyBeat } from "../../src/rpc/beat.ts";

/** What identifies the process. */
export interface ProcessIdentity {
  readonly version: string;
  readonly role: string;
  readonly cluster: string;
  /** Unix ms. */
  readonly startedAt: number;
}

/** Begins to measure. @returns A function that ends it. */
export function watchProcess(
  registry: MetricRegistry<typeof METRICS>,
  { version, role, cluster, startedAt }: ProcessIdentity,
): () => void {
  const { process } = registry.live;
  const unwatch = watchThread(registry);
  process.info.child(version, role, cluster, Deno.version.deno).set(1);
  process.startTime.child().set(startedAt / 1000);
  registry.onScrape(() => {
    process.residentBytes.child().set(Deno.memoryUsage().rss);
    const { user, system } = nodeProcess.cpuUsage();
    process.cpuSeconds.child().value = (user + system) / 1e6;
    const fds = openFds();
    if (fds !== undefined) process.openFds.child().set(fds);
  });
  return unwatch;
}

/** Begins to measure what every thread has of its own: heap and event loop. @returns A function that ends it. */
export function watchThread(registry: MetricRegistry<typeof METRICS>): () => void {
  const { process } = registry.live;
  registry.onScrape(() => {
    const { heapUsed, heapTotal, external } = Deno.memoryUsage();
    process.heapUsedBytes.child().set(heapUsed);
    process.heapTotalBytes.child().set(heapTotal);
    process.externalBytes.child().set(external);
  });
  const delay = process.loopDelaySeconds.child();
  let due = performance.now() + BEAT_MS;
  return everyBeat(BEAT_MS, () => {
    const now = performance.now();
    delay.record(Math.max(0, now - due) / 1000);
    due = now + BEAT_MS;
  });
}

/** Open descriptors; `undefined` where the system does not tell. */
function openFds(): number | undefined {
  try {
    return [...Deno.readDirSync("/proc/self/fd")].length;
  } catch {
    return undefined;
  }
}
