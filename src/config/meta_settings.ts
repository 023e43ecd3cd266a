// Settings of meta servers. settings.ts joins all groups and explains names.

import { stopTimeout } from "./common_settings.ts";
import { bool, choice, duration, hostPort, int, text } from "./field.ts";
import { group } from "./group.ts";

/** Where the state of meta is: a setting of meta servers and of the onebox. */
export const COORDINATOR = text({
  default: "embedded",
  pattern: /^(embedded|zookeeper:\/\/[^/\s]+:\d+(\/[^/\s]+)+)$/,
  expected: '"embedded" or zookeeper://HOST:PORT,HOST:PORT/ROOT',
  doc:
    "Where meta keeps its state: in its data-dir, or in ZooKeeper, which several meta servers need",
});

/** Addresses and directories. */
export const META_SERVER = group("Meta server", ["meta"], {
  listen: hostPort({
    default: "127.0.0.1:34601",
    doc: "Address to listen on; port 0 takes a free port, which the first line on stdout tells",
  }),
  advertise: hostPort({
    default: "",
    optional: true,
    doc: "Address others reach this server at, and its name; empty = listen, port 0 = the port " +
      "listened on",
  }),
  dataDir: text({
    default: "data/meta",
    pattern: /./,
    expected: "a path",
    doc: "Directory of the state of this server; one process only",
  }),
  coordinator: COORDINATOR,
  zookeeperSessionMs: duration({
    default: "4s",
    min: "1s",
    max: "5m",
    doc:
      "A meta server that ZooKeeper has not heard for so long is replaced as leader; below the lease, " +
      "or replica servers stop serving until there is a new one",
  }),
  stopTimeoutMs: stopTimeout("15s", ""),
});

/** What meta does to keep partitions healthy (docs/meta.md). */
export const PLACEMENT = group("Placement", ["meta"], {
  failureCheckMs: duration({
    default: "500ms",
    min: "10ms",
    max: "1m",
    doc: "Meta looks for dead servers this often",
  }),
  fastFailover: bool({
    default: true,
    doc:
      "A server, or meta's leader, whose address refuses connections is dead at once; off where " +
      "firewalls refuse",
  }),
  cureIntervalMs: duration({
    default: "1s",
    min: "10ms",
    max: "10m",
    reload: true,
    doc: "Meta looks this often for partitions that need another step towards health",
  }),
  replicaAssignDelayMs: duration({
    default: "30s",
    min: "0",
    max: "1d",
    reload: true,
    doc: "A lost secondary is expected back for so long before another server gets its place",
  }),
  proposalGiveUpMs: duration({
    default: "10s",
    min: "100ms",
    max: "1d",
    reload: true,
    doc: "A proposal that brought nothing for so long makes another server preferred",
  }),
  addSecondaryMax: int({
    default: 20,
    min: 1,
    max: 10_000,
    reload: true,
    doc: "Replicas one server may be receiving at the same time",
  }),
  alivePercentMin: int({
    default: 50,
    min: 0,
    max: 100,
    reload: true,
    doc: "Percent of the known servers that must be alive; fewer freeze the cluster",
  }),
  partitionCountMax: int({
    default: 1024,
    min: 1,
    max: 65_535,
    reload: true,
    doc: "Most partitions a table may be created with",
  }),
  dropReserveMs: duration({
    default: "7d",
    min: "0",
    max: "3650d",
    reload: true,
    doc: "The data of a dropped table is kept for so long, unless the drop says otherwise",
  }),
  storeBatch: int({
    default: 100,
    min: 1,
    max: 1000,
    doc: "Partitions written to the coordination store in one group while a table is made",
  }),
  unstableRestarts: int({
    default: 5,
    min: 0,
    max: 1000,
    reload: true,
    doc: "A server restarted so often in a row is unstable and gets nothing new; 0 = never",
  }),
  unstableWindowMs: duration({
    default: "10m",
    min: "1s",
    max: "1d",
    reload: true,
    doc:
      "Restarts closer together than this are in a row; a server that ran so long is stable again",
  }),
  garbageDelayMs: duration({
    default: "10m",
    min: "0",
    max: "365d",
    reload: true,
    doc:
      "A partition must have been whole for so long before other servers' replicas of it are garbage",
  }),
  allowList: text({
    default: "",
    pattern: /^([^\s,]+:\d+(,[^\s,]+:\d+)*)?$/,
    expected: "HOST:PORT,HOST:PORT or nothing",
    reload: true,
    doc:
      "Replica servers that may join; empty = all. One that has joined stays until meta restarts",
  }),
  functionLevel: choice(["stopped", "blind", "freezed", "steady", "lively"], {
    default: "steady",
    doc: "What a new meta leader may do by itself: see docs/meta.md",
  }),
});

/** How the leader watches load and availability (docs/monitoring.md, "Watching a cluster"). */
export const COLLECTOR = group("Load and availability", ["meta"], {
  loadIntervalMs: duration({
    default: "10s",
    min: "100ms",
    max: "10m",
    reload: true,
    doc: "The leader asks the replica servers for their load this often",
  }),
  hotspotScore: int({
    default: 3,
    min: 1,
    max: 1000,
    reload: true,
    doc: "Standard deviations above the other partitions of its table at which a partition is hot",
  }),
  hotspotRateMin: int({
    default: 100,
    min: 1,
    max: 1_000_000_000,
    reload: true,
    doc: "A partition with fewer requests per second is not hot, whatever the others have",
  }),
  hotspotLooks: int({
    default: 3,
    min: 1,
    max: 1000,
    reload: true,
    doc: "A partition is hot after it stood out in so many looks in a row",
  }),
  hotkeyAuto: bool({
    default: false,
    reload: true,
    doc: "Search for the hot key of a partition as soon as it is hot",
  }),
  probeTable: text({
    default: "__stat",
    pattern: /^[0-9A-Za-z._:-]{1,128}$/,
    expected: "the name of a table",
    reload: true,
    doc:
      "Table whose partitions are written and read to measure availability; nothing happens while " +
      "it does not exist",
  }),
  probeIntervalMs: duration({
    default: "3s",
    min: "100ms",
    max: "10m",
    reload: true,
    doc: "Every partition of the probe table is tried this often",
  }),
  probeTimeoutMs: duration({
    default: "1s",
    min: "10ms",
    max: "1m",
    reload: true,
    doc: "A probe that takes longer has failed",
  }),
});
