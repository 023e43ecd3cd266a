// Page views counted by many writers at once. An increment is applied exactly once, however often the client
// had to send it: after a server was lost, the sum is still right.
//
//   deno run -NE docs/examples/counter.ts        # a cluster at $PEGASUS_META or 127.0.0.1:34601

import process from "node:process";
import { openCluster, type Table } from "../../src/client/mod.ts";

/** One hash key takes its writes one after the other; a popular counter is spread over so many rows. */
const PARTS = 8;

/** Adds a view of a page to one of the parts. */
async function countView(counters: Table, page: string): Promise<void> {
  await counters.incr(`${page}/${Math.floor(Math.random() * PARTS)}`, "views");
}

/** The sum of all parts. */
async function viewsOf(counters: Table, page: string): Promise<bigint> {
  const keys = Array.from({ length: PARTS }, (_, part) => {
    return { hashKey: `${page}/${part}`, sortKey: "views" };
  });
  const rows = await counters.batchGet(keys);
  return rows.reduce((sum, row) => sum + BigInt(new TextDecoder().decode(row.value)), 0n);
}

const cluster = openCluster({ meta: (process.env.PEGASUS_META ?? "127.0.0.1:34601").split(",") });
try {
  await cluster.admin.createTable("example_counters", { partitionCount: 8 });
  const counters = cluster.table("example_counters");
  const page = `/index.html#${crypto.randomUUID()}`;
  const visitors = Array.from({ length: 20 }, async () => {
    for (let i = 0; i < 25; i++) await countView(counters, page);
  });
  await Promise.all(visitors);
  console.log(`${await viewsOf(counters, page)} views`);
} finally {
  await cluster.close();
}
