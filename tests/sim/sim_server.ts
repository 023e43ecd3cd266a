// One life of a simulated replica server: runs the production ServerDriver, and ReplicaCores as roles/replica
// does. What outlives it is in machine.ts.

import type { Now } from "../../src/base/clock.ts";
import { Err } from "../../src/base/errors.ts";
import type { NodeId, PartitionId } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import { SILENT } from "../../src/observe/logger.ts";
import { withoutMember } from "../../src/replication/config_steps.ts";
import { ConfigProposal } from "../../src/schema/meta_rpc.ts";
import { LearnFetch, PEER_RPC, type PeerMessage } from "../../src/schema/replica_rpc.ts";
import type { RequestOf } from "../../src/schema/rpc.ts";
import type { PartitionConfig, ReplicaReport } from "../../src/schema/types.ts";
import type { LogRecord } from "../../storage/log.ts";
import {
  LeaseGate,
  type ShardCommand,
  type ShardReport,
} from "../../roles/replica/control_link.ts";
import { ServerDriver } from "../../roles/replica/server_driver.ts";
import { heavyTail } from "./chance.ts";
import type { Env } from "./env.ts";
import type { Machine } from "./machine.ts";
import { ReplicaFiles, type ServerDisk } from "./model_disk.ts";
import { recover } from "./recover.ts";
import { SimRpc } from "./rpc.ts";
import { rpcClientOf } from "./rpc_adapters.ts";
import { handleRequests } from "./sim_requests.ts";
import { SimReplica } from "./sim_replica.ts";
import { configsHeard } from "./watch_config.ts";
import type { DiskFault, SimProcess } from "./watched.ts";

/** One life of a replica server. */
export class ServerProcess implements SimProcess {
  readonly id: NodeId;
  readonly incarnation: number;
  readonly rpc: SimRpc;
  readonly diskChance: Prng;
  readonly replicas = new Map<PartitionId, SimReplica>();
  readonly #closedReports = new Map<PartitionId, ReplicaReport>();
  readonly #env: Env;
  readonly #machine: Machine;
  readonly #disk: ServerDisk;
  readonly #control: ServerDriver;
  readonly #lease: LeaseGate;
  #connected = false;
  #images = 0;
  /** Appends whose durability nobody has reported yet, oldest first. */
  #pending: { position: number; replica: SimReplica; token: number }[] = [];
  #syncing = false;
  readonly #touched = new Set<SimReplica>();
  /** See ReplicaShelf. */
  readonly #begun = new Set<PartitionId>();
  #dead = false;

  constructor(env: Env, machine: Machine, disk: ServerDisk) {
    this.#env = env;
    this.#machine = machine;
    this.#disk = disk;
    this.id = machine.id;
    this.incarnation = ++disk.incarnation;
    this.diskChance = env.chance.stream(`disk speed ${machine.id}`);
    this.rpc = new SimRpc(this, this.id, env.network, env.scheduler);
    this.#lease = new LeaseGate(this);
    this.#control = new ServerDriver({
      node: this.id,
      incarnation: this.incarnation,
      metas: env.metas,
      settings: env.swarm.server,
      client: rpcClientOf(this.rpc, (rpc, response) => configsHeard(env, rpc, response)),
      clock: this,
      logger: SILENT,
      lease: this.#lease,
      shardPorts: [1],
      httpPort: 0,
      labels: new Map(),
      identity: disk,
      command: (_shard, command) => this.#command(command),
    });
    this.rpc.onPeerEvent = (node, event) => {
      const kind = event === "down" ? "peerDown" : "peerReconnected";
      for (const replica of [...this.replicas.values()]) replica.step({ kind, node });
    };
    for (const files of [...disk.replicas.values()]) this.#open(files, true);
    this.#handle();
    env.network.attach(this.id, this.rpc);
    this.#tick();
    this.#syncPrivateLogs();
  }

  replica(partition: PartitionId): SimReplica | undefined {
    return this.replicas.get(partition);
  }

  get isDamaged(): boolean {
    return this.disk.poisoned;
  }

  /** Both clocks of this machine. */
  now(): Now {
    return this.#machine.clock.now();
  }

  get disk(): ServerDisk {
    return this.#disk;
  }

  /** Whether a client request would be served now, as far as the lease goes. */
  get holdsLease(): boolean {
    return this.#lease.held;
  }

  nextImage(): number {
    return this.incarnation * 1000 + ++this.#images;
  }

  /** The process is gone. */
  die(): void {
    this.#dead = true;
    this.rpc.close();
    for (const replica of this.replicas.values()) replica.closed = true;
    this.#env.scheduler.cancelOwner(this);
    this.#env.network.detach(this.id);
  }

  #command(command: ShardCommand): void {
    switch (command.kind) {
      case "contact":
        this.#connected = command.connected;
        this.#env.coverage.hit(command.connected ? "lease.gained" : "lease.lost");
        for (const replica of [...this.replicas.values()]) {
          replica.step({
            kind: "metaContact",
            connected: command.connected,
          });
        }
        return;
      case "config":
        return this.replicas.get(command.config.partition)?.step(command);
      case "missing":
        return this.#askToBeRemoved(command.config);
      case "proposal":
        return this.#propose(command.proposal);
      case "configReply":
        return this.replicas.get(command.partition)?.step(command);
      case "closeReplica":
      case "garbage": {
        const replica = this.replicas.get(command.partition);
        if (replica !== undefined && replica.core.status !== "inactive") return;
        this.#env.coverage.hit(`server.${command.kind}`);
        // Garbage is closed first, and set aside when meta still says so the next time.
        if (replica !== undefined) return this.closeReplica(replica, "keep", command.kind);
        if (command.kind === "garbage") this.#forgetFiles(command.partition, false);
        return;
      }
      case "collect":
        return this.#control.onReport({
          kind: "reports",
          request: command.request,
          replicas: this.#reports(),
          tables: [],
          usable: true,
        });
      case "nodes":
      case "tables":
      case "access":
        return;
    }
  }

  /** What is closed is reported as well: it may be the last copy. */
  #reports(): ReplicaReport[] {
    const reports: ReplicaReport[] = [...this.#closedReports.values()];
    for (const { core } of this.replicas.values()) {
      reports.push({ ...core.report(), bytes: 0, disk: "" });
    }
    return reports;
  }

  /** Takes a message of a replica to the control part. */
  report(report: ShardReport): void {
    if (!this.#dead) this.#control.onReport(report);
  }

  /** Meta counts on a replica that is not here: it must find another one. */
  #askToBeRemoved(config: PartitionConfig): void {
    const { partition } = config;
    if (this.disk.replicas.has(partition)) return;
    this.#env.coverage.hit("server.missing");
    const next = withoutMember(config, this.id);
    const change = "DOWNGRADE_TO_INACTIVE";
    this.report({
      kind: "updateConfig",
      partition,
      attempt: 0,
      change,
      node: this.id,
      config: next,
    });
  }

  #propose(proposal: RequestOf<typeof ConfigProposal>): void {
    const { change, node, config } = proposal;
    const { partition, ballot } = config;
    let replica = this.replicas.get(partition);
    if (replica === undefined && change === "ASSIGN_PRIMARY" && node === this.id) {
      // With a history, an empty replica as primary would lose it (Pegasus #895).
      const isNew = ballot === 0 && !this.#begun.has(partition);
      replica = this.#reopen(partition) ?? (isNew ? this.#create(partition) : undefined);
    }
    replica?.step({ kind: "proposal", change, node, config });
  }

  #handle(): void {
    const { rpc } = this;
    for (const [kind, declaration] of Object.entries(PEER_RPC)) {
      rpc.handle(declaration, (_from, body) => {
        this.#onPeerMessage({ kind, body } as PeerMessage);
      });
    }
    rpc.handle(ConfigProposal, (_from, body) => {
      const proposal = body as RequestOf<typeof ConfigProposal>;
      this.#env.watch.configSeen(proposal.config);
      this.report({ kind: "proposal", proposal });
    });
    rpc.handle(LearnFetch, (_from, body, responder) => {
      const request = body as RequestOf<typeof LearnFetch>;
      const replica = this.replicas.get(request.partition);
      const signature = replica?.core.learnerSignature(request.from) ?? 0;
      if (replica === undefined || signature !== request.signature) {
        return responder.fail(Err.LEARN_SOURCE_LOST);
      }
      replica.images.serve(request, responder);
    });
    handleRequests(this.#env, this);
  }

  #onPeerMessage(message: PeerMessage): void {
    const { partition } = message.body;
    let replica = this.replicas.get(partition);
    const starts = message.kind === "groupCheck" && message.body.role === "learner";
    if (replica === undefined && starts && this.#connected) {
      replica = this.#reopen(partition) ?? this.#create(partition);
    }
    if (replica === undefined) return;
    replica.step({ kind: "message", message });
    this.touch(replica);
  }

  /** Flushes the replica at the end of the current batch of input. */
  touch(replica: SimReplica): void {
    if (this.#touched.size === 0) {
      const delay = this.diskChance.chance(0.5) ? 0 : this.diskChance.float();
      this.#env.scheduler.after(delay, "flush", this, () => {
        const touched = [...this.#touched];
        this.#touched.clear();
        for (const each of touched) each.step({ kind: "flush" });
      });
    }
    this.#touched.add(replica);
  }

  /** Opens a replica that was closed with its data. */
  #reopen(partition: PartitionId): SimReplica | undefined {
    const files = this.disk.replicas.get(partition);
    // Not while its last records are still on their way to the disk: recovery counts them as durable.
    if (files === undefined || !this.disk.isSettled(partition)) return undefined;
    return this.#open(files, true);
  }

  #create(partition: PartitionId): SimReplica | undefined {
    if (this.disk.poisoned || this.disk.replicas.has(partition)) return undefined;
    this.#env.coverage.hit("server.create");
    const files = new ReplicaFiles(partition, this.disk.nextGeneration(partition));
    this.disk.replicas.set(partition, files);
    return this.#open(files, false);
  }

  #open(files: ReplicaFiles, existed: boolean): SimReplica | undefined {
    const { state, lastSequence, condemned } = recover(files, this.disk.shared);
    this.#env.watch.opened(
      this,
      files.partition,
      state,
      condemned,
      files.manifest.generation,
    );
    if (condemned !== undefined) {
      this.#env.coverage.hit("server.condemned");
      this.#forgetFiles(files.partition, true);
      return undefined;
    }
    const mayLack = !files.isWhole && !this.#env.swarm.disk.fsync;
    const recovered = { ...state, existed, mayLack, tornTail: this.disk.isTorn };
    const replica = new SimReplica(this.#env, this, files, recovered, lastSequence);
    this.replicas.set(files.partition, replica);
    this.#closedReports.delete(files.partition);
    if (this.#connected) replica.step({ kind: "metaContact", connected: true });
    return replica;
  }

  /** Closes a replica: keeps its files, or sets them aside, where nobody looks again. */
  closeReplica(replica: SimReplica, how: "keep" | "damaged", reason: string): void {
    if (replica.closed) return;
    this.#env.trace.add(this.#env.scheduler.now, this.id, "close", { how, reason });
    replica.closed = true;
    this.replicas.delete(replica.partition);
    if (replica.core.ballot > 0) this.#begun.add(replica.partition);
    if (how === "keep") {
      this.#env.coverage.hit("close.keep");
      const report = { ...replica.core.report(), status: "inactive" as const, bytes: 0, disk: "" };
      this.#closedReports.set(replica.partition, report);
    } else this.#forgetFiles(replica.partition, true);
    this.report({ kind: "requestConfigSync" });
  }

  #forgetFiles(partition: PartitionId, damaged: boolean): void {
    this.disk.replicas.delete(partition);
    this.#closedReports.delete(partition);
    this.#env.watch.forgotten(this.id, partition, damaged);
  }

  /** Queues a record in the shared log; `appended` comes with the group that contains it. */
  appendShared(replica: SimReplica, record: LogRecord, token: number): void {
    const position = this.disk.append(record);
    this.#pending.push({ position, replica, token });
    // All appends of one turn share a group.
    if (!this.#syncing) this.#startSync();
  }

  #startSync(): void {
    this.#syncing = true;
    const { disk } = this;
    const { swarm, scheduler } = this.#env;
    scheduler.after(0.02, "log write", this, () => {
      disk.writing = disk.end;
      const target = disk.end;
      const max = this.#env.healed ? 20 : swarm.disk.syncMaxMs;
      const delay = heavyTail(this.diskChance, swarm.disk.syncTypicalMs, max);
      scheduler.after(delay, "log sync", this, () => this.#synced(target));
    });
  }

  #synced(target: number): void {
    this.#syncing = false;
    const { disk } = this;
    if (disk.poisoned) return;
    this.#env.watch.logDurable(this.id, disk.markDurable(target));
    const tokens = new Map<SimReplica, number>();
    let done = 0;
    for (; done < this.#pending.length; done++) {
      const { position, replica, token } = this.#pending[done]!;
      if (position > target) break;
      tokens.set(replica, token);
    }
    this.#pending = this.#pending.slice(done);
    for (const [replica, token] of tokens) replica.step({ kind: "appended", token });
    if (this.#pending.length > 0 && !this.#syncing) this.#startSync();
  }

  /** Only whole servers are stopped in order: what closes them is theirs. */
  stop(): boolean {
    return false;
  }

  /** The shared log cannot be written any more, whatever the reason: every replica here is lost (§13). */
  failDisk(fault: DiskFault): void {
    this.disk.poisoned = true;
    this.#env.coverage.hit(`fault.disk.${fault}`);
    for (const replica of [...this.replicas.values()]) {
      replica.step({ kind: "appendFailed", reason: fault });
    }
  }

  /** The model of a log does not wait for room. */
  freeDisk(): boolean {
    return false;
  }

  #syncPrivateLogs(): void {
    const { disk } = this.#env.swarm;
    this.#env.scheduler.after(disk.privateSyncMs, "private sync", this, () => {
      for (const files of this.disk.replicas.values()) files.syncPrivate();
      this.disk.collectShared();
      this.#syncPrivateLogs();
    });
  }

  #tick(): void {
    this.#env.scheduler.after(this.#env.swarm.tickMs, "tick", this, () => {
      this.#tick();
      this.#control.tick();
      for (const replica of [...this.replicas.values()]) {
        replica.step({ kind: "tick" });
        replica.step({ kind: "flush" });
      }
    });
  }
}
