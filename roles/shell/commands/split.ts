// local_partition_split: more partitions for a table whose servers are stopped.

import { PARTITION_INDEX_END } from "../../../src/base/ids.ts";
import { type Command, UsageProblem } from "../declare.ts";
import { counted } from "../render.ts";

const localPartitionSplit: Command = {
  group: "offline",
  name: "local_partition_split",
  brief: "Make replicas of a new table with more partitions from those of a stopped server",
  details: [
    "For every data directory of every server, with the same words; then meta begins with an empty store",
    "and recover makes it of what the servers have: docs/operations.md, More partitions. The old table",
    "stays as it is. copy_data to a table with more partitions needs no pause.",
  ],
  examples: ["local_partition_split data/replica 3 103 16 users_16"],
  positionals: [
    { name: "dir", type: "file", brief: "A data directory" },
    { name: "app_id", type: "int", brief: "Number of the table" },
    { name: "new_app_id", type: "int", brief: "Number of the new table, which no table ever had" },
    {
      name: "partition_count",
      type: "int",
      brief: "Of the new table: a multiple of the old one's",
    },
    { name: "new_name", type: "text", brief: "Name of the new table" },
  ],
  flags: [],
  async run(context, args) {
    const number = (name: string, max: number) => {
      const given = args.int(name)!;
      if (given >= 1 && given <= max) return given;
      throw new UsageProblem(`<${name}> is ${given}, expected 1 to ${max}`);
    };
    const newName = args.needText("new_name");
    if (!/^[0-9A-Za-z._:-]{1,128}$/.test(newName)) {
      throw new UsageProblem(
        `<new_name> is "${newName}", expected 1 to 128 characters of 0-9 A-Z a-z . _ : -`,
      );
    }
    const request = {
      tableId: number("app_id", 2 ** 32 - 1),
      newTableId: number("new_app_id", 2 ** 32 - 1),
      newCount: number("partition_count", PARTITION_INDEX_END),
      newName,
    };
    const { splitReplicas } = await import("../offline_split.ts");
    const progress = context.progress(0);
    const { replicas, rows } = await splitReplicas(
      args.needText("dir"),
      request,
      (done) => progress.update(done, done),
    ).finally(() => progress.clear());
    const text = `OK, ${counted(replicas, "replica")} with ${counted(rows, "row")}`;
    context.answer({ replicas, rows }, text);
  },
};

/** See the file comment. */
export const SPLIT_COMMANDS: readonly Command[] = [localPartitionSplit];
