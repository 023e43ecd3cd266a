// What the judge knows of one partition: stored configurations, every payload ever proposed, the one
// committed history with its contents by decree, and what clients were told.

import { equalBytes, fromUtf8 } from "../../src/base/bytes.ts";
import type { NodeId } from "../../src/base/ids.ts";
import type { Translation } from "../../src/replication/io.ts";
import type { WriteOp } from "../../src/replication/write_op.ts";
import type { Mutation } from "../../src/schema/mutation.ts";
import { readBody } from "../../src/schema/mutation_body.ts";
import type { PartitionConfig } from "../../src/schema/types.ts";
import { userDataOf } from "../../src/schema/value_format.ts";
import { Violation } from "./env.ts";
import { keyText, ModelEngine } from "./model_engine.ts";
import { bodyOps } from "./watched_translator.ts";
import type { WatchedReplica } from "./watched.ts";
import { payloadId } from "./watch_log.ts";

interface Proposal {
  readonly mutation: Mutation;
  /** Ballot under which the payload was proposed first. */
  readonly firstBallot: number;
  /** The client writes in it, in order of evaluation. */
  readonly ops: readonly WriteOp[];
}

interface Commit {
  readonly payload: string;
  readonly ballot: number;
}

/** See the file comment. */
export class PartitionGhost {
  readonly configs = new Map<number, PartitionConfig>();
  newestConfig: PartitionConfig | undefined;
  readonly commits = new Map<number, Commit>();
  committedMax = 0;
  /** Its only copy is gone: it must stay away until an operator decides (meta.md, "Cure"). */
  isLost = false;
  /** Largest decree any client was told is done; largest decree at which a read was served. */
  ackedMax = 0;
  servedMax = 0;
  /** Up to here the rows of some replica were ahead of what it had applied again: its images are as well. */
  engineAhead = 0;
  #newestServedBallot = 0;
  #newestCommitBallot = 0;
  readonly #payloads = new Map<string, string>();
  readonly #proposals = new Map<string, Proposal>();
  readonly #primaries = new Map<number, { node: NodeId; incarnation: number }>();
  /** Reconcile end of every ballot that became readable. */
  readonly #readable = new Map<number, number>();
  readonly #notDone = new Set<WriteOp>();
  readonly #doneOps = new Set<WriteOp>();
  readonly #sequences = new Map<string, number>();
  /** The committed history applied to an empty engine, and what it held after each decree. */
  readonly #model = new ModelEngine();
  readonly #hashes: number[] = [0];
  readonly #versions = new Map<string, { decree: number; value: Uint8Array | undefined }[]>();
  readonly #count: (name: string) => void;

  constructor(count: (name: string) => void) {
    this.#count = count;
  }

  stored(config: PartitionConfig): void {
    this.configs.set(config.ballot, config);
    this.newestConfig = config;
  }

  /** S1: nothing is visible that the store has not accepted. */
  configSeen(config: PartitionConfig): void {
    const stored = this.configs.get(config.ballot);
    const same = stored !== undefined && stored.primary === config.primary &&
      stored.secondaries.length === config.secondaries.length &&
      stored.secondaries.every((node) => config.secondaries.includes(node));
    if (!same) {
      throw new Violation("S1", "A configuration is not what is stored", { stored, config });
    }
  }

  /** A mutation was appended by some replica; `fresh` are the writes translated for it in this step. */
  proposed(
    replica: WatchedReplica,
    mutation: Mutation,
    fresh: readonly { op: WriteOp; translation: Translation }[],
  ): void {
    this.payloadSeen(mutation);
    const id = proposalId(mutation);
    const known = this.#proposals.get(id);
    // Two primaries may form the same mutation on their own, with the same time when their wall clocks were set
    // back: opening a session is such a body. The later one is a new proposal, not the earlier one's ghost.
    // So may a barrier be what an earlier primary's write without effect was: it changes nothing, whoever formed it.
    const isOwn = this.configs.get(mutation.ballot)?.primary === replica.server.id;
    const isNew = fresh.length > 0 || (isOwn && mutation.body.length === 0);
    if (known !== undefined && !isNew) return;
    if (!isOwn) {
      throw new Violation("S6", "A replica logs what no primary proposed", {
        node: replica.server.id,
        decree: mutation.decree,
        ballot: mutation.ballot,
      });
    }
    this.#proposals.set(id, {
      mutation,
      firstBallot: mutation.ballot,
      ops: fresh.map(({ op }) => op),
    });
  }

  /** S6: (ballot, decree) names one payload for ever. */
  payloadSeen(mutation: Mutation): void {
    const key = `${mutation.ballot}/${mutation.decree}`;
    const payload = payloadId(mutation);
    const known = this.#payloads.get(key);
    if (known === undefined) this.#payloads.set(key, payload);
    else if (known !== payload) {
      throw new Violation("S6", "Two payloads for one ballot and decree", {
        ballot: mutation.ballot,
        decree: mutation.decree,
        known,
        payload,
      });
    }
  }

  /** S2: one primary per ballot, and never the same ballot in a second life. */
  statusSeen(replica: WatchedReplica): void {
    const { core, server } = replica;
    if (core.status !== "primary") return;
    const known = this.#primaries.get(core.ballot);
    if (known === undefined) {
      this.#primaries.set(core.ballot, { node: server.id, incarnation: server.incarnation });
    } else if (known.node !== server.id || known.incarnation !== server.incarnation) {
      throw new Violation("S2", "Two primaries in one ballot", {
        ballot: core.ballot,
        known,
        node: server.id,
        incarnation: server.incarnation,
      });
    }
    if (!core.readable || this.#readable.has(core.ballot)) return;
    if (this.isLost) {
      const details = { node: server.id, ballot: core.ballot };
      throw new Violation("S7", "A partition without any copy is served again", details);
    }
    this.#readable.set(core.ballot, core.reconcileEnd ?? Infinity);
    // S7: whoever may serve the newest ballot holds everything that was promised.
    if (core.ballot === this.newestConfig?.ballot && core.committed < this.ackedMax) {
      throw new Violation("S7", "A readable primary lacks acknowledged writes", {
        node: server.id,
        committed: core.committed,
        acked: this.ackedMax,
      });
    }
  }

  /**
   * S3, S8, S9: a replica's commit point passed `decree`.
   *
   * @returns True for the first commit of the decree anywhere.
   */
  committing(replica: WatchedReplica, decree: number, own: string | undefined): boolean {
    const { ballot } = replica.core;
    const known = this.commits.get(decree);
    const details = { node: replica.server.id, decree, ballot };
    if (known !== undefined) {
      if (own !== undefined && own !== known.payload) {
        throw new Violation("S3", "Two payloads committed for one decree", {
          ...details,
          known,
          own,
        });
      }
      return false;
    }
    // By configuration, not by status: a primary may commit and step aside in one step.
    if (this.configs.get(ballot)?.primary !== replica.server.id) {
      throw new Violation("S3", "A follower commits what no primary committed", details);
    }
    if (own === undefined) {
      throw new Violation("S3", "A primary commits what its log does not hold", details);
    }
    if (decree !== this.committedMax + 1) {
      throw new Violation("S4", "Commits are not in order", { ...details, max: this.committedMax });
    }
    this.commits.set(decree, { payload: own, ballot });
    this.committedMax = decree;
    this.#newestCommitBallot = Math.max(this.#newestCommitBallot, ballot);
    this.#record(decree, own, details);
    return true;
  }

  #record(decree: number, payload: string, details: Record<string, unknown>): void {
    const proposal = this.#proposals.get(`${decree} ${payload}`);
    if (proposal === undefined) {
      throw new Violation("S6", "A commit of what nobody proposed", details);
    }
    for (const [ballot, end] of this.#readable) {
      if (ballot > proposal.firstBallot && decree > end) {
        throw new Violation("S8", "A write of an earlier reign came back", {
          ...details,
          firstBallot: proposal.firstBallot,
          reign: ballot,
          end,
        });
      }
    }
    for (const op of proposal.ops) {
      if (this.#notDone.has(op)) {
        throw new Violation("S9", "A write reported as not done was committed", { ...details, op });
      }
      this.#doneOps.add(op);
    }
    readBody(proposal.mutation.body, {
      session: ({ session, sequence }) => {
        const key = `${session}/${sequence}`;
        const earlier = this.#sequences.get(key);
        if (earlier !== undefined && sequence > 0) {
          throw new Violation("S9", "An exactly-once write was committed twice", {
            ...details,
            session,
            sequence,
            earlier,
          });
        }
        this.#sequences.set(key, decree);
      },
    });
    const ops = bodyOps(proposal.mutation.body);
    this.#model.write(ops, decree);
    this.#hashes[decree] = this.#model.contentHash;
    for (const { key, value } of ops) {
      const text = keyText(key);
      const versions = this.#versions.get(text) ?? [];
      versions.push({ decree, value });
      this.#versions.set(text, versions);
    }
  }

  /** S4: applied in order, nothing but what is committed. */
  applying(replica: WatchedReplica, mutations: readonly Mutation[]): void {
    let expected = replica.core.applied + 1;
    for (const mutation of mutations) {
      const known = this.commits.get(mutation.decree);
      const details = { node: replica.server.id, decree: mutation.decree, expected };
      if (mutation.decree !== expected++) {
        throw new Violation("S4", "Applied out of order", details);
      }
      if (mutation.decree > replica.core.committed) {
        throw new Violation("S4", "Applied before it is committed", details);
      }
      if (known !== undefined && known.payload !== payloadId(mutation)) {
        throw new Violation("S4", "Applied another payload than the committed one", details);
      }
    }
  }

  /** S4: contents follow from the history. */
  appliedSeen(replica: WatchedReplica): void {
    const { applied } = replica.core;
    // An engine that was ahead of its log when it was opened, or its source's, is compared once the log has caught up.
    if (applied < replica.engineAhead) return;
    const expected = this.#hashes[applied];
    const actual = replica.contentHash;
    if (expected !== undefined && expected !== actual) {
      throw new Violation("S4", "The engine's content differs from the committed history", {
        node: replica.server.id,
        applied,
      });
    }
  }

  /** S2, S7: reads never go back, and see what was acknowledged. */
  readServed(replica: WatchedReplica, key: string, value: Uint8Array | undefined): void {
    const { core, server } = replica;
    const { applied, ballot } = core;
    const details = { node: server.id, ballot, applied };
    if (ballot < this.#newestServedBallot || ballot < this.#newestCommitBallot) {
      throw new Violation("S2", "A read was served in an old ballot", {
        ...details,
        served: this.#newestServedBallot,
        committed: this.#newestCommitBallot,
      });
    }
    if (applied < this.ackedMax || applied < this.servedMax) {
      throw new Violation("S7", "A stale read", {
        ...details,
        acked: this.ackedMax,
        served: this.servedMax,
      });
    }
    const expected = this.#versions.get(key)?.findLast((version) => version.decree <= applied);
    const stored = expected?.value && userDataOf(expected.value);
    const same = stored === undefined
      ? value === undefined
      : value !== undefined && equalBytes(value, stored);
    if (!same) {
      throw new Violation("S7", "A read saw another value than the history has", {
        ...details,
        key,
        value: value && fromUtf8(value),
        expected: stored && fromUtf8(stored),
      });
    }
    this.#newestServedBallot = ballot;
    this.servedMax = applied;
    this.#reads++;
    this.#count("read.served");
  }

  /** S9: what is answered as done is committed, and applied where it was answered. */
  answeredOk(replica: WatchedReplica, decree: number): void {
    if (decree > this.committedMax || decree > replica.core.applied) {
      throw new Violation("S9", "Answered before it was committed and applied", {
        node: replica.server.id,
        decree,
        committed: this.committedMax,
        applied: replica.core.applied,
      });
    }
    this.ackedMax = Math.max(this.ackedMax, decree);
    this.#count("write.done");
  }

  answeredNotDone(op: WriteOp, error: number): void {
    this.#notDone.add(op);
    this.#count("write.refused");
    if (this.#doneOps.has(op)) {
      throw new Violation("S9", "A committed write was reported as not done", { op, error });
    }
  }

  /** From now on the partition owes a write and a read. */
  expectProgress(): void {
    this.#owed = this.ackedMax;
    this.#servedThen = this.#reads;
  }

  #owed = 0;
  #reads = 0;
  #servedThen = 0;

  /** Whether a write and a read were done since they were expected. */
  get hasProgress(): boolean {
    return this.ackedMax > this.#owed && this.#reads > this.#servedThen;
  }

  /** Rows of the committed history. */
  get contentHash(): number {
    return this.#model.contentHash;
  }
}

function proposalId(mutation: Mutation): string {
  return `${mutation.decree} ${payloadId(mutation)}`;
}
