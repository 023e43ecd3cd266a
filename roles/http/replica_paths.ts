// Answers of a replica server's own HTTP paths, from what its shards show.

import { formatPartition, indexOf, tableOf } from "../../src/base/ids.ts";
import { DATA_VERSION } from "../../src/schema/value_format.ts";
import type { ShardView } from "../replica/replica_metrics.ts";
import type { RunRemote } from "../replica/shard_link.ts";
import { type Answer, type Handlers, problem } from "./route.ts";
import type { REPLICA_ROUTES } from "./routes.ts";

/** Handlers of {@link REPLICA_ROUTES}. */
export function replicaHandlers(
  view: () => Promise<Pick<ShardView, "replicas" | "tableNames">>,
  remote: RunRemote,
): Handlers<typeof REPLICA_ROUTES> {
  return {
    "/replica/replicas": async () => {
      const { replicas, tableNames } = await view();
      const rows = replicas.toSorted((a, b) => a.partition - b.partition).map((report) => {
        const { partition, ...rest } = report;
        return [formatPartition(partition), { table: tableNames.get(tableOf(partition)), ...rest }];
      });
      return { json: Object.fromEntries(rows) };
    },
    "/replica/manual_compaction": async ({ args }) => {
      const given = args.get("app_id")!;
      if (!/^\d{1,10}$/.test(given)) return notATable(given);
      const counts = { queued: 0, running: 0, finished: 0, failed: 0, skipped: 0 };
      for (const line of (await remote("compaction", [])).split("\n")) {
        const found = /(?:^|: )(\d+)\.\d+ (\w+)/.exec(line);
        if (found?.[1] === given) counts[found[2] as keyof typeof counts]++;
      }
      return { json: counts };
    },
    "/replica/data_version": async ({ args }) => {
      const given = args.get("app_id")!;
      if (!/^\d{1,10}$/.test(given)) return notATable(given);
      const { replicas } = await view();
      const own = replicas.filter(({ partition }) => tableOf(partition) === Number(given));
      if (own.length === 0) return problem(404, `No replica of table ${given} is stored here`);
      // Every replica writes the one version; others are only read.
      const rows = own.map(({ partition }) =>
        [String(indexOf(partition)), { data_version: String(DATA_VERSION) }] as const
      );
      return { json: Object.fromEntries(rows) };
    },
  };
}

function notATable(given: string): Answer {
  return problem(400, `Argument "app_id" is "${given}": expected the number of a table`);
}
