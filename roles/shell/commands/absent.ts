// Commands of the original that this system does not have, and what to do instead: who knows them by heart should not
// have to guess.

const NO_BACKUP =
  "export writes a table to a file, import reads it back; meta_export saves the tables' definitions";
const NO_DUPLICATION = "copy_data -c CLUSTER copies a table to another cluster, once";
const NO_BULK_LOAD = "import reads rows from a file";
const NO_SPLIT =
  "copy_data copies rows to a table with more partitions; local_partition_split does it on stopped servers";

const TEXTS: readonly (readonly [names: string, instead: string])[] = [
  ["add_backup_policy ls_backup_policy query_backup_policy modify_backup_policy", NO_BACKUP],
  ["enable_backup_policy disable_backup_policy restore_app restore backup", NO_BACKUP],
  ["query_restore_status query_backup_status", NO_BACKUP],
  ["add_dup query_dup dups start_dup pause_dup remove_dup set_dup_fail_mode", NO_DUPLICATION],
  ["duplication table_migrator", NO_DUPLICATION],
  ["start_bulk_load query_bulk_load_status pause_bulk_load restart_bulk_load", NO_BULK_LOAD],
  ["cancel_bulk_load clear_bulk_load bulk_load", NO_BULK_LOAD],
  ["partition_split", NO_SPLIT],
  ["nodes_migrator", "drain moves everything away from a server"],
  ["nodes_balancer", "balance evens out the servers, disk_balance the disks of one"],
  [
    "add_disk",
    "add it to --data-dir and restart the server; disk_balance then moves replicas to it",
  ],
  ["add_compaction_operation", "set default_ttl, or remove rows with clear_data"],
  ["server_version", "server_info tells it"],
  ["perf_counters", "remote_command metrics PART prints metrics"],
];

/** What to do instead, by name with underscores. */
export const ABSENT: ReadonlyMap<string, string> = new Map(
  TEXTS.flatMap(([names, instead]) => names.split(" ").map((name) => [name, instead] as const)),
);
