// Settings of replica servers. settings.ts joins all groups and explains names; the group of replication
// has exactly the fields of ReplicaSettings and is handed to the core as it is.

import { stopTimeout } from "./common_settings.ts";
import {
  bool,
  bytes,
  choice,
  directories,
  duration,
  hostPort,
  hostPorts,
  int,
  labels,
  text,
} from "./field.ts";
import { group } from "./group.ts";

/** Addresses and directories. */
export const REPLICA_SERVER = group("Replica server", ["replica"], {
  listen: hostPort({
    default: "127.0.0.1:34801",
    doc: "Address to listen on; port 0 takes a free port",
  }),
  advertise: hostPort({
    default: "",
    optional: true,
    doc: "Address others reach this server at, and its name in the cluster: keep it across " +
      "restarts; empty = listen, port 0 = the port listened on",
  }),
  labels: labels({
    names: ["zone", "rack", "host"],
    doc: "Where this server is; replicas of a partition are kept apart. Without host it is the " +
      "host of the address",
  }),
  meta: hostPorts({
    default: ["127.0.0.1:34601"],
    doc: "Addresses of all meta servers",
  }),
  dataDir: directories({
    default: "data/replica",
    doc: "Directory of tables and private logs; several, one per disk, with commas between",
  }),
  dataDirReserveBytes: bytes({
    default: "512MiB",
    min: "0B",
    max: "64TiB",
    doc: "A directory with less free space, or less than a tenth of its disk, whichever is " +
      "smaller, gets no new replicas",
  }),
  writeStopFreeBytes: bytes({
    default: "256MiB",
    min: "0B",
    max: "64TiB",
    doc: "Writes are refused while the disk of data or log has less free space, or less than a " +
      "twentieth of its size, whichever is smaller; reads go on",
  }),
  logDir: text({
    default: "",
    doc: "Directory of the shared logs, best on a disk of its own; empty = below the " +
      "first data-dir",
  }),
  shards: int({
    default: 0,
    min: 0,
    max: 64,
    doc:
      "Threads that serve partitions, each with its own port, log and databases; may change from one " +
      "start to the next; 0 = one per 4 cores, at most 8",
  }),
  shardPort: int({
    default: 0,
    min: 0,
    max: 65_535,
    doc:
      "Port of the second shard, the next ones follow; the first has that of listen; 0 = free ports",
  }),
  stopTimeoutMs: stopTimeout("1m", "; the next start then applies what the logs hold"),
});

/** The worker half of failure detection and config sync. */
export const CONTACT = group("Contact with meta", ["replica"], {
  beaconTimeoutMs: duration({
    default: "700ms",
    min: "10ms",
    max: "1m",
    doc: "A beacon unanswered for so long has failed; the next meta server is asked",
  }),
  leaseSafetyMs: duration({
    default: "250ms",
    min: "1ms",
    max: "1m",
    doc: "End of the lease that is never used, for clocks that run at different rates",
  }),
  configSyncIntervalMs: duration({
    default: "10s",
    min: "50ms",
    max: "10m",
    doc: "What is stored is compared with meta's view this often",
  }),
  absentCloseMs: duration({
    default: "10m",
    min: "1s",
    max: "7d",
    doc: "An inactive replica that meta does not list is closed after so long; its data stays",
  }),
  handOverMs: duration({
    default: "5s",
    min: "0",
    max: "10s",
    doc: "A stopping server waits so long for others to lead its partitions; 0 = it just stops",
  }),
});

/** Limits and intervals of the replication core. */
export const REPLICATION = group("Replication", ["replica"], {
  inflightMutationsMax: int({
    default: 64,
    min: 1,
    max: 10_000,
    doc: "Mutations of one partition between their number and their commit",
  }),
  mutationBytesMax: bytes({
    default: "1MiB",
    min: "1KiB",
    max: "8MiB",
    doc: "Size at which writes gathered for one mutation are sent",
  }),
  queuedWritesMax: int({
    default: 10_000,
    min: 1,
    max: 1_000_000,
    reload: true,
    doc: "Writes waiting in one partition; more are answered BUSY",
  }),
  cacheMutationsMax: int({
    default: 2000,
    min: 1,
    max: 1_000_000,
    reload: true,
    doc: "Committed mutations kept in memory for learners",
  }),
  cacheBytesMax: bytes({
    default: "4MiB",
    min: "64KiB",
    max: "1GiB",
    reload: true,
    doc:
      "Bytes of committed mutations kept in memory for learners, per partition; a quarter while nobody learns",
  }),
  prepareTimeoutMs: duration({
    default: "3s",
    min: "20ms",
    max: "1m",
    reload: true,
    doc: "A secondary that has not acknowledged for so long is removed",
  }),
  learnerPrepareTimeoutMs: duration({
    default: "5s",
    min: "20ms",
    max: "10m",
    reload: true,
    doc: "The same for a learner",
  }),
  prepareResendMs: duration({
    default: "500ms",
    min: "5ms",
    max: "1m",
    reload: true,
    doc: "A prepare unanswered for so long is sent again",
  }),
  groupCheckIntervalMs: duration({
    default: "10s",
    min: "20ms",
    max: "10m",
    reload: true,
    doc: "A primary tells its group the configuration this often",
  }),
  idleCommitMs: duration({
    default: "1s",
    min: "10ms",
    max: "1m",
    doc: "Secondaries hear of the last commit after so long without writes",
  }),
  reconfigureResendMs: duration({
    default: "1s",
    min: "10ms",
    max: "1m",
    doc: "An unanswered request to meta for a new configuration is sent again after so long",
  }),
  learnRetryMs: duration({
    default: "1s",
    min: "10ms",
    max: "1m",
    doc: "A learner tries again after so long",
  }),
  checkpointIntervalMs: duration({
    default: "1m",
    min: "100ms",
    max: "1d",
    reload: true,
    doc: "Applied writes are made durable in the engine at least this often",
  }),
  checkpointDecrees: int({
    default: 100_000,
    min: 1,
    reload: true,
    doc: "Mutations after which a checkpoint is taken before its time",
  }),
  minReplicaCount: int({
    default: 0,
    min: 0,
    max: 5,
    clusterWide: true,
    doc: "Fewest live members to accept a write; 0 = more than half of the table's replicas",
  }),
  sessionsMax: int({
    default: 10_000,
    min: 1,
    max: 1_000_000,
    clusterWide: true,
    doc: "Client sessions one partition remembers for exactly-once writes",
  }),
  sessionResultsMax: int({
    default: 32_768,
    min: 1,
    max: 1_000_000,
    clusterWide: true,
    doc: "Results one partition remembers for exactly-once writes",
  }),
});

/** The two write-ahead logs (docs/log_format.md). */
export const LOGS = group("Write-ahead logs", ["replica"], {
  fsync: choice(["group", "none"], {
    default: "group",
    doc: "group: a write is acknowledged when it survives power loss; none: for comparison only",
  }),
  sharedLogSegmentBytes: bytes({
    default: "64MiB",
    min: "64KiB",
    max: "1GiB",
    doc: "Size at which a new file of the shared log is begun",
  }),
  privateLogSegmentBytes: bytes({
    default: "32MiB",
    min: "64KiB",
    max: "1GiB",
    doc: "Size at which a new file of a replica's private log is begun",
  }),
  privateLogSyncIntervalMs: duration({
    default: "1s",
    min: "10ms",
    max: "1m",
    doc: "Private logs are synced this often, which lets shared log files be deleted",
  }),
  privateLogReserveBytes: bytes({
    default: "64MiB",
    min: "0B",
    max: "64GiB",
    doc: "Private log kept for learners beyond what recovery needs, per replica",
  }),
});

/** LevelDB, one per replica (docs/storage_layout.md). */
export const ENGINE = group("Storage engine", ["replica"], {
  writeBufferBytes: bytes({
    default: "4MiB",
    min: "64KiB",
    max: "1GiB",
    doc: "Writes of one replica kept in memory before they go to a table file; up to two are held",
  }),
  cacheBytes: bytes({
    default: "8MiB",
    min: "64KiB",
    max: "64GiB",
    doc: "Cache of uncompressed blocks, per replica",
  }),
  tableBytes: bytes({
    default: "4MiB",
    min: "1MiB",
    max: "1GiB",
    doc: "Size of a table file; those that are there keep theirs until they are compacted",
  }),
  openFilesMax: int({
    default: 1024,
    min: 16,
    max: 100_000,
    doc: "Table files kept open, per replica; reads of others open them each time",
  }),
  compression: bool({ default: true, doc: "Compress blocks with Snappy" }),
}, "engine");

/** Replica directories that were moved aside. */
export const ASIDE = group("Directories moved aside", ["replica"], {
  garbageKeepMs: duration({
    default: "1d",
    min: "0",
    max: "3650d",
    reload: true,
    doc: "The directory of a replica nobody needs is kept for so long",
  }),
  damagedKeepMs: duration({
    default: "7d",
    min: "0",
    max: "3650d",
    reload: true,
    doc: "The directory of a damaged replica is kept for so long",
  }),
});

/** The search for damaged data. */
export const SCRUB = group("Search for damage", ["replica"], {
  bytesPerSecond: bytes({
    default: "8MiB",
    min: "0B",
    max: "64GiB",
    doc: "Tables are read so fast, over all replicas of the server; 0B = never",
  }),
  intervalMs: duration({
    default: "1d",
    min: "100ms",
    max: "365d",
    doc: "From the start of one pass over all tables to the start of the next",
  }),
}, "scrub");

/** Deletion of expired rows. */
export const EXPIRY = group("Expired rows", ["replica"], {
  sweepRowsPerSecond: int({
    default: 1000,
    min: 0,
    max: 1_000_000,
    doc: "Rows checked for expiry in the background, over all partitions led; 0 = never",
  }),
});
