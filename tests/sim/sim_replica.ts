// The simulator's driver of one replica: performs the effects of ReplicaCore in order against the modelled
// disk and network and feeds results back, with the ordering promises of roles/replica/replica_driver.ts.
// Everything it remembers dies with the process; what survives is in ReplicaFiles.

import { Err } from "../../src/base/errors.ts";
import type { PartitionId } from "../../src/base/ids.ts";
import type { RecoveredState, ReplicaEffect, ReplicaEvent } from "../../src/replication/io.ts";
import { ReplicaCore } from "../../src/replication/replica.ts";
import { PEER_RPC } from "../../src/schema/replica_rpc.ts";
import { decodeMutation } from "../../src/schema/mutation.ts";
import { type LogRecord, RecordKind } from "../../storage/log.ts";
import { StorageTranslator } from "../../storage/translate.ts";
import type { WriteCall } from "../../roles/replica/write_calls.ts";
import { countReplicaStep } from "./census.ts";
import { heavyTail } from "./chance.ts";
import type { Env } from "./env.ts";
import type { ReplicaFiles } from "./model_disk.ts";
import type { ServerProcess } from "./sim_server.ts";
import { ImagePull, ImageShelf, LogPull } from "./sim_transfer.ts";
import type { WatchedReplica } from "./watched.ts";
import { bodyOps, WatchedTranslator } from "./watched_translator.ts";

/** See the file comment. */
export class SimReplica implements WatchedReplica {
  readonly partition: PartitionId;
  readonly server: ServerProcess;
  readonly files: ReplicaFiles;
  readonly core: ReplicaCore;
  readonly images: ImageShelf;
  readonly #env: Env;
  readonly #events: ReplicaEvent[] = [];
  #stepping = false;
  #sequence: number;
  #fetch: ImagePull | LogPull | undefined;
  /** Waiting for a moment without a running apply. */
  readonly #whenQuiet: (() => void)[] = [];
  applying = false;
  closed = false;
  /** The engine's own applied row when this process opened it: content is compared from there on. */
  engineAhead: number;
  /** The status the judge saw last. */
  statusSeen = "new";
  /** How far the judge has followed the commit point. */
  commitsChecked: number;

  constructor(
    env: Env,
    server: ServerProcess,
    files: ReplicaFiles,
    recovered: RecoveredState,
    lastSequence: number,
  ) {
    this.#env = env;
    this.server = server;
    this.files = files;
    this.partition = files.partition;
    this.#sequence = lastSequence;
    this.engineAhead = files.engine.applied;
    this.commitsChecked = recovered.applied;
    this.images = new ImageShelf(this);
    const translator = new WatchedTranslator(
      new StorageTranslator({ get: (key) => this.files.engine.get(key) }),
      (op, timestampUs, translation) => env.watch.translated(op, timestampUs, translation),
    );
    this.core = new ReplicaCore({
      partition: this.partition,
      self: server.id,
      incarnation: server.incarnation,
      settings: env.swarm.replica,
      translator,
      recovered,
      maxReplicaCount: env.swarm.replicaCount,
      logFirstDecree: () => this.#logFirstDecree(),
    }, server.now());
  }

  get contentHash(): number {
    return this.files.engine.contentHash;
  }

  hear(event: ReplicaEvent): void {
    this.step(event);
  }

  /** Feeds one event; events that arise meanwhile run after it. */
  step(event: ReplicaEvent): void {
    if (this.closed) return;
    this.#events.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
      const out: ReplicaEffect[] = [];
      this.core.step(next, this.server.now(), out);
      const isIdle = out.length === 0 && (next.kind === "tick" || next.kind === "flush");
      if (!isIdle) this.#record(next, out);
      countReplicaStep((name) => this.#env.coverage.hit(name), next, out);
      this.#env.watch.stepped(this, next, out);
      for (const effect of out) this.#perform(effect);
      if (this.closed) break;
    }
    this.#stepping = false;
  }

  #record(event: ReplicaEvent, out: readonly ReplicaEffect[]): void {
    const { core } = this;
    const details = { status: core.status, event, out };
    this.#env.trace.add(
      this.#env.scheduler.now,
      this.server.id,
      event.kind,
      details,
      core.ballot,
      core.committed,
      out.length,
    );
  }

  /** Runs `action` now or as soon as no apply is running. */
  whenQuiet(action: () => void): void {
    if (this.applying) this.#whenQuiet.push(action);
    else action();
  }

  #perform(effect: ReplicaEffect): void {
    switch (effect.kind) {
      case "append":
        return this.#append(effect);
      case "send": {
        const { kind, body } = effect.message;
        return this.server.rpc.send(effect.to, PEER_RPC[kind], body);
      }
      case "apply":
        return this.#apply(effect);
      case "reply":
        return answer(effect);
      case "checkpoint":
        return this.#checkpoint(effect);
      case "fetchImage":
        this.#fetch = new ImagePull(this.#env, this, effect);
        return;
      case "fetchLog":
        this.#fetch = new LogPull(this.#env, this, effect);
        return;
      case "cancelFetch":
        this.#fetch?.cancel();
        this.#fetch = undefined;
        return;
      case "updateConfig":
        return this.server.report({ ...effect, partition: this.partition });
      case "requestConfigSync":
        return this.server.report({ kind: "requestConfigSync" });
      case "close":
        return this.server.closeReplica(this, effect.damaged ? "damaged" : "keep", effect.reason);
      case "note":
        return this.#env.coverage.hit(`note.${effect.event}`);
    }
  }

  #append(effect: Extract<ReplicaEffect, { kind: "append" }>): void {
    const { record } = effect;
    const isMutation = record.kind === "mutation";
    const entry: LogRecord = {
      partition: this.partition,
      generation: this.files.manifest.generation,
      sequence: ++this.#sequence,
      kind: isMutation ? RecordKind.MUTATION : RecordKind.BALLOT,
      decree: isMutation ? record.decree : 0,
      payload: isMutation ? record.payload : ballotPayload(record.ballot, record.reconcileEnd),
    };
    this.files.privateLog.push(entry);
    this.server.appendShared(this, entry, effect.token);
  }

  #apply(effect: Extract<ReplicaEffect, { kind: "apply" }>): void {
    this.applying = true;
    const { generation } = this.files.manifest;
    const { disk } = this.#env.swarm;
    this.#later("apply", heavyTail(this.server.diskChance, disk.applyTypicalMs, 500), () => {
      this.applying = false;
      const decree = effect.mutations.at(-1)!.decree;
      if (this.files.manifest.generation === generation) {
        const ops = effect.mutations.flatMap((mutation) => bodyOps(mutation.body));
        if (this.server.diskChance.chance(disk.segmentSwitch)) this.files.engine.switchSegment();
        // A replica that replays over a newer engine must not make the engine's applied row go back.
        this.files.engine.write(ops, Math.max(decree, this.files.engine.applied));
        this.step({ kind: "applied", decree });
      }
      for (const action of this.#whenQuiet.splice(0)) action();
    });
  }

  #checkpoint(effect: Extract<ReplicaEffect, { kind: "checkpoint" }>): void {
    const { generation } = this.files.manifest;
    const { engine } = this.files;
    const typical = this.#env.swarm.disk.checkpointTypicalMs;
    const stale = () => this.files.manifest.generation !== generation;
    engine.writeSessions({ decree: effect.decree, image: effect.sessions });
    this.#later("flush", heavyTail(this.server.diskChance, typical, 5000), () => {
      // An installed image ends the generation and with it every checkpoint of it.
      if (stale()) return;
      engine.flush();
      this.files.syncPrivate();
      this.#later("manifest", heavyTail(this.server.diskChance, 1, 100), () => {
        if (stale()) return;
        this.files.manifest = {
          generation,
          // What was adopted since may be in a part of the log that goes now.
          ballot: Math.max(effect.ballot, this.core.ballot),
          durable: effect.decree,
        };
        if (effect.whole) this.files.isWhole = true;
        this.#env.watch.checkpointed(this, effect.decree);
        this.step({ kind: "checkpointed", attempt: effect.attempt, decree: effect.decree });
        this.#collect();
      });
    });
  }

  /** Drops private records that the engine holds durably, all or some of them. */
  #collect(): void {
    const { disk } = this.#env.swarm;
    if (!this.server.diskChance.chance(disk.collect)) return;
    const { privateLog, manifest, privateSynced } = this.files;
    let count = 0;
    while (count < privateSynced && privateLog[count]!.decree <= manifest.durable) count++;
    this.files.collectPrivate(this.server.diskChance.below(count + 1));
    this.#env.coverage.hit("log.collected");
  }

  #logFirstDecree(): number {
    // Mutations below the first record that is left may have been collected.
    const first = this.files.privateLog.find((record) => record.kind === RecordKind.MUTATION);
    return first?.decree ?? Infinity;
  }

  /** The image is here: replaces engine, log and manifest as one durable step, then tells the core. */
  installImage(
    signature: number,
    rows: readonly (readonly [string, Uint8Array])[],
    decree: number,
    sessions: Uint8Array,
    ballot: number,
  ): void {
    this.files.engine.install(rows, decree, { decree, image: sessions });
    this.files.startGeneration({
      generation: this.files.manifest.generation + 1,
      ballot: Math.max(ballot, this.core.ballot),
      durable: decree,
    });
    this.#sequence = 0;
    this.#fetch = undefined;
    this.#env.watch.installed(this, decree, this.files.manifest);
    this.step({ kind: "imageInstalled", signature, decree, sessions });
  }

  #later(label: string, delayMs: number, run: () => void): void {
    const delay = this.#env.healed ? Math.min(delayMs, 20) : delayMs;
    this.#env.scheduler.after(delay, label, this.server, () => {
      if (!this.closed) run();
    });
  }

  /** Newest version of every mutation the private log holds, honouring truncations. */
  loggedMutations(first: number, countMax: number): Uint8Array[] | undefined {
    const newest = new Map<number, { ballot: number; payload: Uint8Array }>();
    for (const record of this.files.privateLog) applyRecord(newest, record);
    const found: Uint8Array[] = [];
    for (let decree = first; found.length < countMax; decree++) {
      const entry = newest.get(decree);
      if (entry === undefined) break;
      found.push(entry.payload);
    }
    return found.length === 0 ? undefined : found;
  }
}

function answer(effect: Extract<ReplicaEffect, { kind: "reply" }>): void {
  const call = effect.token as WriteCall;
  if (effect.error === Err.OK) call.reply({ decree: effect.decree, result: effect.result });
  else call.fail(effect.error);
}

/** Replays one record on a map of newest versions by decree. */
export function applyRecord(
  newest: Map<number, { ballot: number; payload: Uint8Array }>,
  record: LogRecord,
): void {
  if (record.kind === RecordKind.BALLOT) {
    const { ballot, reconcileEnd } = readBallotPayload(record.payload);
    for (const [decree, entry] of newest) {
      if (decree > reconcileEnd && entry.ballot < ballot) newest.delete(decree);
    }
    return;
  }
  const mutation = decodeMutation(record.payload)!;
  const held = newest.get(mutation.decree);
  if (held !== undefined && held.ballot > mutation.ballot) return;
  newest.set(mutation.decree, { ballot: mutation.ballot, payload: record.payload });
}

/** Payload of a ballot record (storage/log.ts). */
export function ballotPayload(ballot: number, reconcileEnd: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(ballot), true);
  view.setBigUint64(8, BigInt(reconcileEnd), true);
  return bytes;
}

/** The inverse of {@link ballotPayload}. */
export function readBallotPayload(bytes: Uint8Array): { ballot: number; reconcileEnd: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    ballot: Number(view.getBigUint64(0, true)),
    reconcileEnd: Number(view.getBigUint64(8, true)),
  };
}
