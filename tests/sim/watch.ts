// The all-seeing judge of a run: it hears of every step, append, commit, read, answer and stored
// configuration as it happens and throws a Violation when a rule of docs/protocol.md is broken. S1-S13 are
// the rules' numbers in docs/testing.md, "Invariants". It never influences the run.

import { adviceOf, Err } from "../../src/base/errors.ts";
import { formatPartition, type NodeId, type PartitionId } from "../../src/base/ids.ts";
import type {
  RecoveredState,
  ReplicaEffect,
  ReplicaEvent,
  Translation,
} from "../../src/replication/io.ts";
import type { Prng } from "../../src/base/prng.ts";
import type { WriteOp } from "../../src/replication/write_op.ts";
import { decodeMutation } from "../../src/schema/mutation.ts";
import type { PartitionConfig } from "../../src/schema/types.ts";
import type { LogRecord } from "../../storage/log.ts";
import { Violation } from "./env.ts";
import { checkConfigStep, membersOf } from "./watch_config.ts";
import { HeldLog } from "./watch_log.ts";
import { PartitionGhost } from "./watch_partition.ts";
import type { WatchedReplica, WatchedServer } from "./watched.ts";
import type { Machine } from "./machine.ts";

/** See the file comment. */
export class Watch {
  readonly #ghosts = new Map<PartitionId, PartitionGhost>();
  readonly #held = new Map<string, HeldLog>();
  /** Logs that faults of disks took, until the replica exists again. */
  readonly #lost = new Set<string>();
  /** Replicas that have said that they hold everything; and those that were lost after that, until others say so. */
  readonly #learned = new Set<string>();
  readonly #lostLearned = new Set<string>();
  /** What the writes that cores took ask for. */
  readonly #asked = new WeakMap<object, WriteOp>();
  /** Translations of the step that is running. */
  #translations: { timestampUs: number; op: WriteOp; translation: Translation }[] = [];
  readonly #fsync: boolean;
  readonly #count: (name: string) => void;
  /** The servers, to look at the lease of one that is declared dead. */
  machines: ReadonlyMap<NodeId, Machine> = new Map();

  constructor(options: { fsync: boolean; count: (name: string) => void }) {
    this.#fsync = options.fsync;
    this.#count = options.count;
  }

  /** What is known of a partition. */
  ghost(partition: PartitionId): PartitionGhost {
    let ghost = this.#ghosts.get(partition);
    if (ghost === undefined) this.#ghosts.set(partition, ghost = new PartitionGhost(this.#count));
    return ghost;
  }

  get ghosts(): ReadonlyMap<PartitionId, PartitionGhost> {
    return this.#ghosts;
  }

  /** The newest configuration of some partition. */
  anyConfig(chance: Prng): PartitionConfig | undefined {
    const ghosts = [...this.#ghosts.values()];
    return ghosts.length === 0 ? undefined : chance.pick(ghosts).newestConfig;
  }

  #log(node: NodeId, partition: PartitionId): HeldLog {
    const key = `${node} ${partition}`;
    let log = this.#held.get(key);
    if (log === undefined) this.#held.set(key, log = new HeldLog());
    return log;
  }

  /** A primary translated a write; its mutation is among the effects of the running step. */
  translated(
    op: WriteOp,
    timestampUs: number,
    translation: Translation,
  ): void {
    this.#translations.push({ timestampUs, op, translation });
  }

  /** A core took one event; `out` is what it wants done. */
  stepped(replica: WatchedReplica, event: ReplicaEvent, out: readonly ReplicaEffect[]): void {
    const ghost = this.ghost(replica.partition);
    const { core } = replica;
    if (event.kind === "write") {
      this.#asked.set(event.request.token as object, event.request.op);
    }
    for (const effect of out) {
      if (effect.kind === "append") this.#appended(ghost, replica, effect);
      else if (effect.kind === "send") this.#sent(ghost, replica, effect);
      else if (effect.kind === "apply") ghost.applying(replica, effect.mutations);
    }
    this.#translations = [];
    const status = core.transient ? "between" : core.status;
    if (status !== replica.statusSeen) this.#count(`edge.${replica.statusSeen}>${status}`);
    replica.statusSeen = status;
    ghost.statusSeen(replica);
    if (core.applied < replica.engineAhead) {
      ghost.engineAhead = Math.max(ghost.engineAhead, replica.engineAhead);
    }
    this.#commitsSeen(ghost, replica);
    if (event.kind === "applied") ghost.appliedSeen(replica);
    for (const effect of out) {
      if (effect.kind === "reply") this.#answered(ghost, replica, effect);
      else if (effect.kind === "close") this.#closed(replica, effect);
    }
  }

  #appended(
    ghost: PartitionGhost,
    replica: WatchedReplica,
    effect: Extract<ReplicaEffect, { kind: "append" }>,
  ): void {
    if (effect.record.kind !== "mutation") return;
    const mutation = decodeMutation(effect.record.payload)!;
    const fresh = this.#translations.filter((t) => t.timestampUs === mutation.timestampUs);
    ghost.proposed(replica, mutation, fresh);
  }

  #sent(
    ghost: PartitionGhost,
    replica: WatchedReplica,
    effect: Extract<ReplicaEffect, { kind: "send" }>,
  ): void {
    const { message } = effect;
    if (message.kind === "prepare") {
      const mutation = decodeMutation(message.body.mutation)!;
      if (mutation.ballot !== message.body.ballot) {
        throw new Violation("S6", "A prepare names another ballot than its mutation", {
          message: message.body.ballot,
          mutation: mutation.ballot,
        });
      }
      ghost.payloadSeen(mutation);
    }
    if (message.kind === "learnCompletion") {
      const key = `${replica.server.id} ${replica.partition}`;
      this.#learned.add(key);
      this.#lostLearned.delete(key);
    }
    if (message.kind !== "prepareAck" || message.body.error !== Err.OK) return;
    // S5: an ack is a promise that survives: ballot and mutations are durable, without a hole.
    const { ballot, decree } = message.body;
    // Nobody's safety rests on an ack of what this replica knows to be committed.
    if (decree <= replica.core.committed) return;
    const log = this.#log(replica.server.id, replica.partition);
    const details = () => ({ node: replica.server.id, ballot, decree, log: log.describe() });
    if (log.ballot < ballot) {
      throw new Violation("S5", "Acknowledged under a ballot that is not durable", details());
    }
    for (let d = replica.core.committed + 1; d <= decree; d++) {
      if (log.get(d)?.ballot !== ballot) {
        throw new Violation(
          "S5",
          `Acknowledged decree ${d}, which the log does not hold`,
          details(),
        );
      }
    }
  }

  #commitsSeen(ghost: PartitionGhost, replica: WatchedReplica): void {
    const { core } = replica;
    const from = replica.commitsChecked;
    const to = core.committed;
    // A learner counts only what is applied: what it knew committed comes again from its primary.
    if (to < from && core.status !== "learner") {
      throw new Violation("S4", "The commit point went back", {
        node: replica.server.id,
        from,
        to,
      });
    }
    for (let decree = from + 1; decree <= to; decree++) {
      const own = this.#log(replica.server.id, replica.partition).get(decree);
      const isFirst = ghost.committing(replica, decree, own?.payload);
      if (isFirst) this.#checkMembersHold(ghost, replica, decree);
    }
    replica.commitsChecked = to;
  }

  /** S3: at its first commit, every member of the ballot's configuration holds the mutation durably. */
  #checkMembersHold(ghost: PartitionGhost, replica: WatchedReplica, decree: number): void {
    const { ballot } = replica.core;
    const config = ghost.configs.get(ballot);
    const payload = ghost.commits.get(decree)!.payload;
    if (config === undefined) {
      throw new Violation("S1", "A commit at a ballot that was never stored", { ballot, decree });
    }
    for (const node of [config.primary, ...config.secondaries]) {
      const log = this.#log(node, replica.partition);
      if (log.holds(decree, payload) || log.hasRotted(decree, payload)) continue;
      if (this.#lost.has(`${node} ${replica.partition}`)) continue;
      throw new Violation("S3", "Committed before every member holds it", {
        partition: formatPartition(replica.partition),
        decree,
        ballot,
        node,
        log: log.describe(),
      });
    }
  }

  /** Records became durable on a server. */
  logDurable(node: NodeId, records: readonly LogRecord[]): void {
    for (const record of records) this.#log(node, record.partition).add(record);
  }

  /** A checkpoint is durable. */
  checkpointed(replica: WatchedReplica, decree: number): void {
    if (decree > replica.core.applied) {
      throw new Violation("S12", "Durable is ahead of applied", { decree });
    }
  }

  /** An image replaced a replica's state. */
  installed(
    replica: WatchedReplica,
    decree: number,
    manifest: { readonly ballot: number; readonly generation: number },
  ): void {
    const { ballot, generation } = manifest;
    this.#log(replica.server.id, replica.partition).reset(decree, ballot, generation);
    replica.commitsChecked = decree;
    replica.engineAhead = Math.max(decree, this.ghost(replica.partition).engineAhead);
  }

  /** S10: what a server opens from its disk, against what it had made durable. */
  opened(
    server: WatchedServer,
    partition: PartitionId,
    state: RecoveredState,
    condemned: string | undefined,
    generation: number,
  ): void {
    const { id: node, isDamaged } = server;
    const isJudged = this.#fsync && !isDamaged;
    const log = this.#log(node, partition);
    this.#lost.delete(`${node} ${partition}`);
    if (condemned !== undefined) {
      // A learner may have cut its log below what its engine holds already; nobody counts on it yet.
      const config = this.ghost(partition).newestConfig;
      if (!isJudged || config === undefined || !membersOf(config).includes(node)) return;
      throw new Violation("S12", `Durable state was lost: ${condemned}`, { node, partition });
    }
    // Flipped bits cost the replica, or show. Only what nothing proves was ever there may be gone, and it knows.
    const mayLack = server.rotten === "tail" && state.tornTail === true;
    if (this.#fsync && (!isDamaged || (server.rotten !== undefined && !mayLack))) {
      log.checkRecovered(node, state);
    }
    // An image may have been installed durably in the moment the process ended, unheard.
    log.generation = generation;
    log.restore(state, this.#fsync, mayLack);
  }

  /** A process ended. */
  crashed(_node: NodeId): void {
    this.#count("crash");
  }

  /** A replica's files are gone; `damaged`: by a fault of the disk, which the budget of faults allows. */
  forgotten(node: NodeId, partition: PartitionId, damaged: boolean): void {
    const key = `${node} ${partition}`;
    this.#held.delete(key);
    if (!damaged) return;
    this.#lost.add(key);
    if (this.#learned.delete(key)) this.#lostLearned.add(key);
  }

  /** Whether a fault of the disk ever took this replica. */
  hasLost(node: NodeId, partition: PartitionId): boolean {
    return this.#lost.has(`${node} ${partition}`);
  }

  /** Whether a damaged copy has left others behind. */
  #gaveWay({ server, partition, core }: WatchedReplica): boolean {
    if (core.damage === undefined) return false;
    return [...this.ghost(partition).configs.values()].some((config) => {
      const members = membersOf(config);
      return config.ballot >= core.ballot && members.length > 0 && !members.includes(server.id);
    });
  }

  /** S14: only an injected fault may damage a replica. */
  #closed(
    replica: WatchedReplica,
    { damaged, reason }: Extract<ReplicaEffect, { kind: "close" }>,
  ): void {
    if (damaged) this.#count("close.damaged");
    if (!damaged || replica.server.isDamaged) return;
    if (this.#gaveWay(replica)) return this.#count("close.harmed");
    throw new Violation("S14", "A replica condemned itself without a fault of its disk", {
      node: replica.server.id,
      partition: formatPartition(replica.partition),
      reason,
    });
  }

  /** Meta's store holds a new configuration. */
  configStored(config: PartitionConfig): void {
    const ghost = this.ghost(config.partition);
    const before = ghost.newestConfig;
    const change = checkConfigStep(before, config);
    ghost.stored(config);
    if (change.promoted !== undefined && before !== undefined && before.primary !== "") {
      // S11: who becomes a member holds everything the primary has committed.
      const log = this.#log(change.promoted, config.partition);
      for (let d = 1; d <= ghost.committedMax; d++) {
        // Its word may still be on its way when its disk takes it, and a new replica is made.
        const key = `${change.promoted} ${config.partition}`;
        const isLost = this.#lost.has(key) || this.#lostLearned.has(key);
        if (!isLost && !log.holds(d, ghost.commits.get(d)!.payload)) {
          throw new Violation("S11", "A learner was promoted with a hole", {
            node: change.promoted,
            decree: d,
            log: log.describe(),
          });
        }
      }
    }
    if (change.deposed !== undefined) this.#checkDead(change.deposed, config);
  }

  /** S13: who is declared dead cannot serve any more. */
  #checkDead(node: NodeId, config: PartitionConfig): void {
    const process = this.machines.get(node)?.process;
    const replica = process?.replica(config.partition);
    // Who asked for it stopped serving before; who lost contact serves again only after a config sync.
    if (process === undefined || replica?.core.status !== "primary" || !process.holdsLease) return;
    throw new Violation("S13", "A primary was deposed while its lease holds", {
      node,
      ballot: config.ballot,
    });
  }

  /** S1: a configuration reached a server. */
  configSeen(config: PartitionConfig | undefined): void {
    if (config !== undefined) this.ghost(config.partition).configSeen(config);
  }

  /** A server answered a read. */
  readServed(replica: WatchedReplica, key: string, value: Uint8Array | undefined): void {
    this.ghost(replica.partition).readServed(replica, key, value);
  }

  #answered(
    ghost: PartitionGhost,
    replica: WatchedReplica,
    effect: Extract<ReplicaEffect, { kind: "reply" }>,
  ): void {
    const op = this.#asked.get(effect.token as object)!;
    if (effect.error === Err.OK) ghost.answeredOk(replica, effect.decree);
    else if (adviceOf(effect.error) !== "unknownOutcome") ghost.answeredNotDone(op, effect.error);
  }
}
