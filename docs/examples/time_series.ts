// Measurements of sensors, read by time and forgotten after a month. Hash key = sensor and day, so that no
// hash key grows for ever and days of one sensor spread over partitions; sort key = time, in order.
//
//   deno run -NE docs/examples/time_series.ts        # a cluster at $PEGASUS_META or 127.0.0.1:34601

import process from "node:process";
import { openCluster, type Table } from "../../src/client/mod.ts";

const KEPT_SECONDS = 30 * 24 * 3600;
const DAY_MS = 24 * 3600 * 1000;

interface Point {
  readonly timeMs: number;
  readonly value: number;
}

const dayOf = (timeMs: number) => new Date(timeMs).toISOString().slice(0, 10);
/** Fixed length: text order is time order. */
const sortKeyOf = (timeMs: number) => String(timeMs).padStart(15, "0");
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Stores points, one request for all points of one day. */
async function record(table: Table, sensor: string, points: readonly Point[]): Promise<void> {
  const days = new Map<string, { sortKey: string; value: string }[]>();
  for (const { timeMs, value } of points) {
    const rows = days.get(dayOf(timeMs)) ?? [];
    rows.push({ sortKey: sortKeyOf(timeMs), value: String(value) });
    days.set(dayOf(timeMs), rows);
  }
  await Promise.all([...days].map(([day, rows]) => {
    return table.multiSet(`${sensor}:${day}`, rows, { ttl: KEPT_SECONDS });
  }));
}

/** Points from `fromMs` up to before `toMs`, in order. */
async function* between(table: Table, sensor: string, fromMs: number, toMs: number) {
  for (let day = fromMs - fromMs % DAY_MS; day < toMs; day += DAY_MS) {
    const range = { start: sortKeyOf(fromMs), stop: sortKeyOf(toMs) };
    for await (const { sortKey, value } of table.scan(`${sensor}:${dayOf(day)}`, range)) {
      yield { timeMs: Number(text(sortKey)), value: Number(text(value)) };
    }
  }
}

const cluster = openCluster({ meta: (process.env.PEGASUS_META ?? "127.0.0.1:34601").split(",") });
try {
  await cluster.admin.createTable("example_metrics", { partitionCount: 4 });
  const metrics = cluster.table("example_metrics");
  const sensor = `roof-${crypto.randomUUID()}`;
  const midnight = Date.UTC(2030, 0, 2);
  const minutes = Array.from({ length: 120 }, (_, i) => midnight + (i - 60) * 60_000);
  await record(metrics, sensor, minutes.map((timeMs, i) => ({ timeMs, value: 20 + i / 100 })));
  let count = 0;
  let sum = 0;
  for await (const { value } of between(metrics, sensor, minutes[30]!, minutes[90]!)) {
    count++;
    sum += value;
  }
  console.log(`${count} points around midnight, ${(sum / count).toFixed(2)} degrees on average`);
} finally {
  await cluster.close();
}
