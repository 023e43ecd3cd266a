// Runs one replica: hands events to its core one at a time and performs the effects in order. It decides
// nothing about replication. Invariants: events raised while effects are performed wait until the step is
// over (no recursion); a record is reported durable only for the generation that a restart would read; the
// engine is never read while it is being replaced or closed. Rules: docs/log_format.md, and docs/protocol.md, "Durable decree" (§15).

import { FilesError, isNoSpace } from "../../src/base/files.ts";
import { formatPartition, type NodeId, type PartitionId } from "../../src/base/ids.ts";
import type { ReplicaEffect, ReplicaEvent } from "../../src/replication/io.ts";
import type { Mutation } from "../../src/schema/mutation.ts";
import type { TableEnvs } from "../../src/schema/table_envs.ts";
import type { TableInfo } from "../../src/schema/types.ts";
import { applyOps } from "../../storage/apply.ts";
import { type Engine, EngineError, isEngineFull, isOutOfFiles } from "../../storage/engine.ts";
import type { Fate, Pull, ReplicaDriverHost, ReplicaMachine } from "./driver_host.ts";
import { PartitionGuard } from "./partition_guard.ts";
import { logNote } from "./replica_metrics.ts";
import type { ReplicaStore, StagedGeneration } from "./replica_store.ts";
import { ScanContexts } from "./scans.ts";
import { answer, answerAll, refuse } from "./write_calls.ts";

/** There is room again, but the database refuses until it is opened anew; what it lacks is in the logs. */
const DISK_WAS_FULL = "The disk was full";

/** See the file comment. */
export class ReplicaDriver {
  readonly partition: PartitionId;
  readonly core: ReplicaMachine;
  readonly store: ReplicaStore;
  /** Set while the replica waits for a `flush` at the end of the current batch of input. */
  touched = false;
  /** Set when the replica heard something since the last tick. */
  busy = true;
  /** What the core said after the last tick, unless it heard something since. */
  settled = false;
  /** Open scans of the current engine. */
  scans: ScanContexts;
  /** Approximate bytes of the engine, as last measured. */
  bytes = 0;
  /** What the table demands of every request. */
  readonly guard: PartitionGuard;
  readonly #host: ReplicaDriverHost;
  readonly #translator: { defaultTtlSeconds: number } | undefined;
  readonly #queue: ReplicaEvent[] = [];
  readonly #effects: ReplicaEffect[] = [];
  #stepping = false;
  /** Applies in flight; two only while an apply of a replaced engine is still returning. */
  #applying = 0;
  #readable = true;
  #closed = false;
  /** For want of space the database did not take a checkpoint: from then on it takes nothing until it is opened anew. */
  #flushRefused = false;
  #pull: Pull | undefined = undefined;
  /** Callers who need a moment in which the engine stands exactly at the core's `applied`. */
  #quiescent: (() => void)[] = [];
  /** Events wait while a new generation is committed; see #install. */
  #paused = false;
  readonly #running = new Set<Promise<void>>();

  constructor(options: {
    readonly core: ReplicaMachine;
    readonly store: ReplicaStore;
    readonly host: ReplicaDriverHost;
    readonly translator?: { defaultTtlSeconds: number };
    readonly partitionCount?: number;
  }) {
    this.core = options.core;
    this.partition = options.core.partition;
    this.store = options.store;
    this.#host = options.host;
    this.scans = new ScanContexts(this.#host.chance());
    this.guard = new PartitionGuard(this.partition, options.partitionCount ?? 0);
    this.#translator = options.translator;
  }

  /** Takes over what meta says about the table. */
  describe(table: TableInfo, envs: TableEnvs): void {
    this.store.describe(table);
    const now = this.#host.clock.now().mono;
    this.guard.configure(table.partitionCount, envs, now, table.name);
    // Only the primary translates, so all replicas agree whatever they know.
    if (this.#translator !== undefined) this.#translator.defaultTtlSeconds = envs.defaultTtlSeconds;
  }

  /** The engine to read from; `undefined` while it is replaced or closed. */
  get engine(): Engine | undefined {
    return this.#readable ? this.store.engine : undefined;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Takes one event. Events raised by its effects follow after it. */
  deliver(event: ReplicaEvent): void {
    if (this.#closed) return;
    this.settled = false;
    this.#queue.push(event);
    if (!this.#stepping && !this.#paused) this.#drain();
  }

  #drain(): void {
    this.#stepping = true;
    let i = 0;
    try {
      for (; i < this.#queue.length; i++) {
        this.#effects.length = 0;
        this.core.step(this.#queue[i]!, this.#host.clock.now(), this.#effects);
        for (const effect of this.#effects) this.#perform(effect);
        if (this.#closed) refuse(this.#queue, i + 1);
      }
    } catch (error) {
      refuse(this.#queue, i + 1);
      this.#onBroken(error);
    } finally {
      this.#queue.length = 0;
      this.#stepping = false;
    }
  }

  /** Looks how large the engine is; checkpoints do so by themselves. */
  measure(): void {
    // What cannot be measured cannot be written or read either, and that is told where it matters.
    this.#run(this.store.measure().then((bytes) => void (this.bytes = bytes), () => {}));
  }

  /** Every record appended with a token up to this one is durable. */
  onDurable(token: number): void {
    this.deliver({ kind: "appended", token });
  }

  /**
   * Runs `take` when no apply is in flight and the engine holds all of them, so that a snapshot, `core.applied`
   * and `core.sessionsImage` belong together.
   */
  whenQuiescent(take: () => void): void {
    if (this.#applying > 0) this.#quiescent.push(take);
    else this.store.engine.exclusive(take);
  }

  /** Hands what was appended to the operating system, so that memory does not hold it. */
  writeLog(): void {
    if (this.#closed) return;
    try {
      this.store.writeLog();
    } catch (error) {
      this.#onLogError(error);
    }
  }

  /** Makes the private log durable, so that the shared one need not be kept for it. */
  async syncLog(): Promise<void> {
    if (this.#closed) return;
    try {
      await this.store.syncLog();
    } catch (error) {
      this.#onLogError(error);
    }
  }

  #onLogError(error: unknown): void {
    if (!this.#waitsForRoom(error)) this.deliver({ kind: "appendFailed", reason: String(error) });
  }

  /** For want of space, or of files, nothing is lost: it is tried again. @returns Whether that is why something failed. */
  #waitsForRoom(error: unknown): boolean {
    if (isOutOfFiles(error)) return true;
    if (!isNoSpace(error) && !isEngineFull(error)) return false;
    this.#host.noSpace(this);
    return true;
  }

  /** Ends the replica from outside of its core: whoever waits for a write is answered first. */
  finish(reason: string, fate: Fate): void {
    if (!this.#closed) answerAll(this.core, this.#host.clock.now());
    this.#end(reason, fate);
  }

  /** Nothing is served from now on, and the host closes the replica. */
  #end(reason: string, fate: Fate): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#readable = false;
    this.#host.onFinished(this, reason, fate);
  }

  /**
   * Makes what is applied survive power loss, so that the next start applies nothing again; resolves when that is
   * done, or cannot be. A copy in flight is forgotten.
   */
  async saveAll(): Promise<void> {
    if (this.#pull !== undefined) this.#pull.cancelled = true;
    // For want of room nothing more can be saved, and the room may never come.
    this.store.engine.stopWaiting?.();
    // Twice: the first may have met a checkpoint or an apply that was on its way.
    for (let i = 0; i < 2 && !this.#closed && this.core.durable < this.core.applied; i++) {
      this.deliver({ kind: "checkpointDue" });
      while (this.#running.size > 0) await Promise.allSettled(this.#running);
    }
  }

  /** Forgets the copy in flight and refuses everything from now on; resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#closed = true;
    this.#readable = false;
    if (this.#pull !== undefined) this.#pull.cancelled = true;
    this.store.engine.stopWaiting?.();
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
    this.#takeQuiescent();
    await this.#releaseEngine();
    await this.store.close();
  }

  #perform(effect: ReplicaEffect): void {
    switch (effect.kind) {
      case "append":
        return this.#host.append(this, effect.token, this.store.append(effect.record));
      case "send":
        return this.#host.send(effect.to, effect.message);
      case "apply":
        return this.#apply(effect.mutations);
      case "reply":
        return answer(effect);
      case "checkpoint":
        return this.#run(this.#checkpoint(effect));
      case "fetchImage":
        return this.#run(this.#fetchImage(effect));
      case "fetchLog":
        return this.#run(this.#fetchLog(effect));
      case "cancelFetch":
        if (this.#pull !== undefined) this.#pull.cancelled = true;
        this.#pull = undefined;
        return;
      case "updateConfig":
        return this.#host.updateConfig(this, effect);
      case "requestConfigSync":
        return this.#host.requestConfigSync();
      case "close":
        return this.#end(effect.reason, effect.damaged ? "damaged" : "stays");
      case "note":
        this.#host.metrics?.noted(effect.event);
        return logNote(this.#host.logger, this.partition, effect);
    }
  }

  #run(work: Promise<void>): void {
    this.#running.add(work);
    work.finally(() => this.#running.delete(work)).catch((error) => this.#onBroken(error));
  }

  #apply(mutations: readonly Mutation[]): void {
    // The core has taken the previous `applied` and the engine does not move yet: the quiescent moment.
    this.#takeQuiescent();
    const applied = { kind: "applied", decree: mutations[mutations.length - 1]!.decree } as const;
    let waiting: Promise<void> | undefined;
    try {
      waiting = this.store.engine.apply(applyOps(mutations, mutations[0]!.decree - 1));
    } catch (error) {
      return this.deliver({ kind: "applyFailed", reason: String(error) });
    }
    if (waiting === undefined) return this.deliver(applied);
    this.#applying++;
    this.#run(waiting.then(
      () => this.#onApplied(applied),
      (error) => this.#onApplyFailed(error),
    ));
  }

  /** Whether the database has failed behind the answers: that ends the replica now, and not with its next apply. */
  noticeFailure(): boolean {
    if (this.engine === undefined || this.#applying > 0) return false;
    const { failure } = this.engine;
    const mustReopen = isEngineFull(failure) || (this.#flushRefused && !this.#host.isFull(this));
    if (mustReopen) this.finish(DISK_WAS_FULL, "reopen");
    else if (failure !== undefined) this.deliver({ kind: "applyFailed", reason: String(failure) });
    return mustReopen || failure !== undefined;
  }

  #onApplyFailed(error: unknown): void {
    if (isEngineFull(error)) return this.finish(DISK_WAS_FULL, "reopen");
    this.#onApplied({ kind: "applyFailed", reason: String(error) });
  }

  #onApplied(event: ReplicaEvent): void {
    this.#applying--;
    this.deliver(event);
    if (this.#applying === 0) this.#takeQuiescent();
  }

  #takeQuiescent(): void {
    if (this.#quiescent.length === 0) return;
    const waiting = this.#quiescent;
    this.#quiescent = [];
    for (const take of waiting) this.store.engine.exclusive(take);
  }

  async #checkpoint(effect: Extract<ReplicaEffect, { kind: "checkpoint" }>): Promise<void> {
    const { attempt } = effect;
    // 0: nothing has become durable.
    let event: ReplicaEvent = { kind: "checkpointed", attempt, decree: 0 };
    // A database whose flush fails refuses everything from then on.
    if (this.#flushRefused || this.#host.isFull(this)) return this.deliver(event);
    try {
      const written = await this.store.checkpoint(effect);
      // 0: the engine was replaced meanwhile, and the new one has its own durable decree.
      event = { kind: "checkpointed", attempt, decree: written ? effect.decree : 0 };
      this.bytes = await this.store.measure();
    } catch (error) {
      this.#flushRefused = isEngineFull(error);
      if (!this.#waitsForRoom(error)) event = { kind: "checkpointFailed", reason: String(error) };
    }
    this.deliver(event);
  }

  #startPull(from: NodeId, signature: number): Pull {
    if (this.#pull !== undefined) this.#pull.cancelled = true;
    this.#pull = { partition: this.partition, from, signature, cancelled: false };
    return this.#pull;
  }

  async #fetchLog(effect: Extract<ReplicaEffect, { kind: "fetchLog" }>): Promise<void> {
    const { from, signature, first, last } = effect;
    const pull = this.#startPull(from, signature);
    try {
      await this.#host.pullLog(Object.assign(pull, { first, last }), (mutations, done) => {
        if (!pull.cancelled) this.deliver({ kind: "logFetched", signature, mutations, done });
      });
    } catch (error) {
      this.#onFetchFailed(pull, error);
    }
  }

  async #fetchImage(effect: Extract<ReplicaEffect, { kind: "fetchImage" }>): Promise<void> {
    const pull = this.#startPull(effect.from, effect.signature);
    let staged: StagedGeneration | undefined;
    try {
      staged = await this.store.stage();
      const image = await this.#host.pullImage(pull, staged.engine);
      await staged.engine.flush();
      if (!pull.cancelled && !this.#closed) {
        return await this.#install(pull.signature, staged, image);
      }
      await staged.discard();
    } catch (error) {
      await staged?.discard().catch((e) => this.#warn("Cannot discard a new generation", e));
      this.#onFetchFailed(pull, error);
    }
  }

  /**
   * Replaces engine and private log by the new generation. The core stands still until it is done: nothing can
   * cancel the copy, and nothing is appended to a log that a restart would not read (I6). A manifest takes
   * about a millisecond, and a learner in this phase has nothing urgent to do.
   */
  async #install(
    signature: number,
    staged: StagedGeneration,
    image: { readonly decree: number; readonly sessions: Uint8Array },
  ): Promise<void> {
    this.#paused = true;
    try {
      await staged.commit(this.core.ballot, image.decree);
      staged.activate(this.#releaseEngine());
      this.#flushRefused = false;
      this.scans = new ScanContexts(this.#host.chance());
      this.measure();
      this.#queue.unshift({ kind: "imageInstalled", signature, ...image });
    } finally {
      this.#paused = false;
      if (!this.#closed) this.#drain();
    }
  }

  async #releaseEngine(): Promise<void> {
    await Promise.all([this.scans.close(), this.#host.release(this)]);
  }

  #onFetchFailed(pull: Pull, error: unknown): void {
    const { cancelled, signature } = pull;
    if (cancelled) return;
    const local = !this.#waitsForRoom(error) &&
      (error instanceof EngineError || error instanceof FilesError);
    const reason = error instanceof Error ? error.message : String(error);
    this.deliver({ kind: "fetchFailed", signature, local, reason });
  }

  /** A bug in the core or here: this replica stops, the others go on. */
  #onBroken(error: unknown): void {
    if (this.#closed) return;
    const stack = error instanceof Error ? error.stack : String(error);
    const partition = formatPartition(this.partition);
    this.#host.logger.error("Replica stopped by an internal error", { partition, error: stack });
    // The data is as good as before, and every replica may meet the same bug: it is kept.
    this.finish("Internal error", "stays");
  }

  #warn(message: string, error: unknown): void {
    const partition = formatPartition(this.partition);
    this.#host.logger.warn(message, { partition, error: String(error) });
  }
}
