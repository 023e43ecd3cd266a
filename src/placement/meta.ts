// Meta: the authority over configurations. One logical thread: it takes one event, decides, and
// pushes effects. Invariants: only the leader decides, and it acts towards others only while its
// leadership is proven (`leaderUntil`); everything it shows was stored before; what a reign knew
// ends with it. The rules are in docs/meta.md.

import type { Now } from "../base/clock.ts";
import { Err } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import { newBalance, onBalance, onMoveReplica, tickBalance } from "./balance.ts";
import { membersOf } from "./config_change.ts";
import { onBlackList } from "./black_list.ts";
import { ClusterState } from "./cluster_state.ts";
import { onConfigSync } from "./config_sync.ts";
import { cureAll, curePartition, onDead } from "./cure.ts";
import { onDrain, onForgetNode } from "./drain.ts";
import { FailureDetector } from "./failure_detector.ts";
import type {
  MetaEffect,
  MetaEvent,
  MetaRequest,
  MetaRequestName,
  MetaSettings,
  Token,
} from "./io.ts";
import { allows } from "./levels.ts";
import { loadCluster } from "./load.ts";
import {
  abdicate,
  fail,
  leads,
  levelNow,
  levelText,
  type MetaState,
  note,
  onReadBack,
  onStored,
  type Reign,
  tickWrites,
} from "./meta_state.ts";
import { onDddDiagnose } from "./diagnose.ts";
import { onControlMeta, onPropose } from "./operator.ts";
import {
  onRecallTable,
  onRenameTable,
  onSetMaxReplicaCount,
  onUpdateTableEnvs,
} from "./table_changes.ts";
import {
  continueCreate,
  continueDrop,
  continueDrops,
  onCreateTable,
  onDropTable,
} from "./tables.ts";
import { onRecover, onReportStored, recoveryHold, tickRecovery } from "./recovery.ts";
import { onBeacon, onConnectionLost, onRefused } from "./beacons.ts";
import { onUpdateConfig } from "./update_config.ts";
import { noUsers, onDropUser, onGrant, onListUsers, onPutUser, onSyncUsers } from "./users.ts";
import { onClusterInfo, onListNodes, onListTables, onQueryConfig } from "./views.ts";

/** What a core is told when it is made. */
export interface MetaOptions {
  /** host:port that others reach this server by. */
  readonly self: NodeId;
  readonly cluster: string;
  readonly metaServers: readonly string[];
  /** Description of the store, for people. */
  readonly coordinator: string;
  readonly settings: MetaSettings;
}

/** See the file comment. */
export class MetaCore {
  readonly #s: MetaState;

  constructor(options: MetaOptions) {
    this.#s = {
      self: options.self,
      clusterName: options.cluster,
      metaServers: options.metaServers,
      coordinator: options.coordinator,
      settings: options.settings,
      level: options.settings.functionLevel,
      reign: undefined,
      leader: "",
      leaderUntil: -Infinity,
      abdicated: undefined,
      lastWrite: 0,
      now: { mono: 0, wall: 0 },
      out: [],
    };
  }

  /**
   * "standby": somebody else leads, or nobody; "loading": reading the store; "leading": deciding.
   */
  get role(): "standby" | "loading" | "leading" {
    if (this.#s.reign === undefined) return "standby";
    return this.#s.reign.started ? "leading" : "loading";
  }

  /** Name of the cluster. */
  get cluster(): string {
    return this.#s.clusterName;
  }

  /** Who leads, as far as known; "" = unknown. */
  get leader(): NodeId {
    return this.#s.leader;
  }

  /** The reign's state, for invariant checks and status pages; not to be changed. */
  get reign(): Readonly<Reign> | undefined {
    return this.#s.reign;
  }

  /** Takes one event at `now` and pushes what the driver must do, in order. */
  step(event: MetaEvent, now: Now, out: MetaEffect[]): void {
    const s = this.#s;
    s.now = now;
    s.out = out;
    switch (event.kind) {
      case "tick":
        tick(s);
        break;
      case "leaderUntil":
        s.leaderUntil = event.mono;
        break;
      case "elected":
        onElected(s, event.epoch);
        break;
      case "following":
        endReign(s, `following ${event.leader}`);
        s.leader = event.leader;
        break;
      case "lost":
        endReign(s, event.reason);
        break;
      case "loaded":
        onLoaded(s, event);
        break;
      case "stored":
        if (s.reign !== undefined) onStored(s, s.reign, event.write, event.result);
        break;
      case "readBack":
        if (s.reign !== undefined) onReadBack(s, s.reign, event.write, event.nodes);
        break;
      case "request":
        onRequest(s, event.token, event.request);
        break;
      case "candidates":
        s.metaServers = event.names;
        break;
      case "connectionLost":
        onConnectionLost(s, event.node);
        break;
      case "refused":
        onRefused(s, event.node, event.probedAt);
        break;
    }
    afterStep(s);
  }
}

/** What changed configurations lead to, in the same step. */
function afterStep(s: MetaState): void {
  if (s.abdicated !== undefined) {
    endReign(s, s.abdicated);
    s.abdicated = undefined;
  }
  const { reign } = s;
  if (reign === undefined || reign.touched.length === 0) return;
  const touched = reign.touched.splice(0);
  for (const { table, partition } of touched) curePartition(s, reign, table, partition);
  if (reign.drops.size > 0) continueDrops(s, reign);
}

function tick(s: MetaState): void {
  const { reign } = s;
  if (reign === undefined) return;
  tickWrites(s, reign);
  const { dead, pausedMs } = reign.detector.check(s.now.mono);
  if (pausedMs > 0) note(s, "detectorPaused", { pausedMs: Math.round(pausedMs) });
  if (!reign.started || !leads(s)) return;
  tickRecovery(s, reign);
  if (s.settings.fastFailover) {
    for (const node of reign.detector.silent(s.now.mono)) s.out.push({ kind: "probe", node });
  }
  if (dead.length > 0) onDead(s, reign, dead);
  else if (s.now.mono >= reign.nextCureAt) {
    cureAll(s, reign);
    tickBalance(s, reign);
  }
}

function onElected(s: MetaState, epoch: number): void {
  endReign(s, "elected anew");
  s.leader = s.self;
  s.level = s.settings.functionLevel;
  s.reign = {
    epoch,
    since: s.now.mono,
    started: false,
    identity: { store: "", former: [], recovering: false, version: -1 },
    foreign: new Map(),
    longLeases: new Map(),
    recovery: undefined,
    leftovers: [],
    cluster: new ClusterState(),
    detector: new FailureDetector(s.settings, s.now.mono),
    writes: new Map(),
    waiting: new Set(),
    names: new Set(),
    drops: new Map(),
    nextCureAt: s.now.mono,
    balance: newBalance(),
    drained: { nodes: new Set(), version: -1, busy: false },
    forgotten: { nodes: new Set(), version: -1, busy: false },
    blackList: { nodes: new Set(), version: -1, busy: false },
    users: noUsers(),
    touched: [],
  };
  s.out.push({ kind: "load", epoch });
}

/** The store's content: from now on this process decides. */
function onLoaded(s: MetaState, loaded: Extract<MetaEvent, { kind: "loaded" }>): void {
  const { reign } = s;
  if (reign === undefined || reign.epoch !== loaded.epoch || reign.started) return;
  const problem = loadCluster(s, reign, loaded, () => start(s, reign));
  if (problem !== undefined) abdicate(s, problem);
}

function start(s: MetaState, reign: Reign): void {
  reign.started = true;
  reign.since = s.now.mono;
  const { cluster, detector } = reign;
  let partitions = 0;
  for (const table of cluster.tables.values()) {
    partitions += table.partitions.length;
    for (const { config } of table.partitions) {
      // Everybody gets a full grace period, whatever the leader before had heard.
      for (const node of membersOf(config)) detector.expect(node, s.now.mono);
    }
  }
  const { epoch } = reign;
  note(s, "leading", { epoch, tables: cluster.tables.size, partitions });
  for (const table of cluster.tables.values()) {
    if (table.info.status === "creating") continueCreate(s, reign, table, () => {});
    if (table.info.status === "dropping") continueDrop(s, reign, table, () => {});
  }
}

/** Stops everything at once: what the store still answers finds nothing to change. */
function endReign(s: MetaState, reason: string): void {
  const { reign } = s;
  s.reign = undefined;
  s.leader = "";
  if (reign === undefined) return;
  for (const token of reign.waiting) {
    const detail = "The leadership was lost while the change was being stored";
    fail(s, token, Err.OUTCOME_UNKNOWN, detail);
  }
  note(s, "stopped", { epoch: reign.epoch, reason });
}

/** What the level "stopped" forbids: whatever an operator could change by it. */
const CHANGES_TABLES: ReadonlySet<MetaRequestName> = new Set([
  "createTable",
  "dropTable",
  "recallTable",
  "renameTable",
  "updateTableEnvs",
  "setMaxReplicaCount",
]);

function changesTables(request: MetaRequest): boolean {
  // Rights on a table are variables of it; without a table, a user is made an administrator.
  return CHANGES_TABLES.has(request.name) ||
    (request.name === "grant" && request.body.table !== "");
}

/** What is answered while tables are being rebuilt. */
const ALWAYS: ReadonlySet<MetaRequestName> = new Set([
  "recover",
  "clusterInfo",
  "listNodes",
  "controlMeta",
  "reportStored",
]);

function onRequest(s: MetaState, token: Token, request: MetaRequest): void {
  const { reign } = s;
  if (request.name === "beacon") return onBeacon(s, token, request.body);
  if (reign === undefined || !leads(s)) {
    const leader = reign === undefined ? s.leader : "";
    return fail(s, token, Err.FORWARD_TO_OTHERS, leader);
  }
  if (!reign.started) {
    return fail(s, token, Err.SERVICE_NOT_ACTIVE, "The leader is reading its store");
  }
  if (!ALWAYS.has(request.name)) {
    const hold = recoveryHold(reign);
    if (hold !== undefined) return fail(s, token, Err.UNDER_RECOVERY, hold);
  }
  if (changesTables(request) && !allows(levelNow(s, reign), "blind")) {
    return fail(s, token, Err.STATE_FREEZED, levelText(s, reign));
  }
  decide(s, reign, token, request);
}

/** Only while this process leads, and its store is read. */
function decide(
  s: MetaState,
  reign: Reign,
  token: Token,
  request: Exclude<MetaRequest, { readonly name: "beacon" }>,
): void {
  switch (request.name) {
    case "queryConfig":
      return onQueryConfig(s, reign, request.body, token);
    case "configSync":
      return onConfigSync(s, reign, request.body, token);
    case "updateConfig":
      return onUpdateConfig(s, reign, request.body, token);
    case "createTable":
      return onCreateTable(s, reign, request.body, token);
    case "dropTable":
      return onDropTable(s, reign, request.body, token);
    case "recallTable":
      return onRecallTable(s, reign, request.body, token);
    case "renameTable":
      return onRenameTable(s, reign, request.body, token);
    case "listTables":
      return onListTables(s, reign, request.body, token);
    case "updateTableEnvs":
      return onUpdateTableEnvs(s, reign, request.body, token);
    case "setMaxReplicaCount":
      return onSetMaxReplicaCount(s, reign, request.body, token);
    case "listNodes":
      return onListNodes(s, reign, token);
    case "clusterInfo":
      return onClusterInfo(s, reign, token);
    case "controlMeta":
      return onControlMeta(s, reign, request.body, token);
    case "propose":
      return onPropose(s, reign, request.body, token);
    case "balance":
      return onBalance(s, reign, request.body, token);
    case "moveReplica":
      return onMoveReplica(s, reign, request.body, token);
    case "drain":
      return onDrain(s, reign, request.body, token);
    case "forgetNode":
      return onForgetNode(s, reign, request.body, token);
    case "putUser":
      return onPutUser(s, reign, request.body, token);
    case "dropUser":
      return onDropUser(s, reign, request.body, token);
    case "listUsers":
      return onListUsers(s, reign, token);
    case "grant":
      return onGrant(s, reign, request.body, token);
    case "syncUsers":
      return onSyncUsers(s, reign, request.body, token);
    case "blackList":
      return onBlackList(s, reign, request.body, token);
    case "dddDiagnose":
      return onDddDiagnose(s, reign, request.body, token);
    case "recover":
      return onRecover(s, reign, request.body, token);
    case "reportStored":
      return onReportStored(s, reign, request.body, token);
  }
}
