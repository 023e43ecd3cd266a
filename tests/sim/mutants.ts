// Deliberate bugs: does the simulator find them? Each mutant is an exact replacement in a source file, done
// in a copy of the tree, so that the product carries no switches for them. A mutant whose text is not found
// is out of date and an error. Run by mutants_main.ts; the table is in docs/testing.md, "Mutants".

/** One deliberate bug. */
export interface Mutant {
  /** As in docs/testing.md. */
  readonly name: string;
  readonly file: string;
  readonly edits: readonly (readonly [from: string, to: string])[];
  /** The bug is in what only whole servers have: all seeds run them. */
  readonly whole?: boolean;
}

/** All mutants the simulator must find. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: "M1 a restarted primary keeps its ballot",
    file: "src/replication/membership.ts",
    edits: [[
      "  if (s.restarted) {\n    // It may have sent prepares",
      "  if (Number(s.ballot) < 0) {\n    // It may have sent prepares",
    ]],
  },
  {
    name: "M2 a primary reads before its tail is committed again",
    file: "src/replication/primary.ts",
    edits: [["readableFrom: newReign ? end + 1 : end,", "readableFrom: 0 * end,"]],
  },
  {
    name: "M3 one member's acknowledgement is enough",
    file: "src/replication/primary.ts",
    edits: [[
      "for (const receiver of s.primary!.secondaries.values()) ready = Math.min(ready, receiver.acked);",
      "const acks = [...s.primary!.secondaries.values()].map((r) => r.acked);\n  if (acks.length > 0) ready = Math.min(ready, Math.max(...acks));",
    ]],
  },
  {
    name: "M4 acknowledged across a gap",
    file: "src/replication/secondary.ts",
    edits: [["if (held === undefined && decree > list.contiguousEnd + 1) {", "if (decree < 0) {"], [
      "    if (next === undefined || !next.logged || next.mutation.ballot !== s.ballot) break;\n    end++;",
      "    if (next === undefined && end < s.list.maxPrepared) {\n      end++;\n      continue;\n    }\n    if (next === undefined || !next.logged || next.mutation.ballot !== s.ballot) break;\n    end++;",
    ]],
  },
  {
    name: "M5 a new ballot without logging again",
    file: "src/replication/secondary.ts",
    edits: [[
      "  if (held?.mutation.ballot === mutation.ballot) {",
      "  if (held !== undefined) {\n    list.put(mutation, message.mutation, held.token, s.now).logged = held.logged;",
    ]],
  },
  {
    name: "M6 a takeover cuts its tail where ballots fall",
    file: "src/replication/primary.ts",
    edits: [[
      "    s.reconcileEnd = s.list.maxPrepared;\n",
      "    s.reconcileEnd = s.list.lastPrepared;\n    s.list.truncate(s.reconcileEnd, s.ballot);\n",
    ]],
  },
  {
    name: "M7 no truncation at the end of reconciliation",
    file: "src/replication/membership.ts",
    edits: [[
      "const dropped = s.list.truncate(end, s.ballot);",
      "const dropped = s.list.truncate(NO_RECONCILE_END, s.ballot);",
    ]],
  },
  {
    name: "M8 the lease counts from the answer",
    file: "src/replication/server.ts",
    edits: [[
      "if (!this.#lease.acknowledge(sent)) return;",
      "if (!this.#lease.acknowledge(now)) return;",
    ]],
  },
  {
    name: "M9 the lease is enforced by the timer only",
    file: "roles/replica/admission.ts",
    whole: true,
    edits: [[
      "if (!stale) return core.readable && this.#host.lease.heldAt(now);",
      "if (!stale) return core.readable;",
    ]],
  },
  {
    name: "M10 meta acknowledges beacons without proof of its reign",
    file: "src/placement/meta_state.ts",
    edits: [[
      "return s.reign !== undefined && s.now.mono < s.leaderUntil;",
      "return s.reign !== undefined;",
    ]],
  },
  {
    name: "M11 a configuration is visible before it is stored",
    file: "src/placement/update_config.ts",
    edits: [[
      "  const path = partitionPath(partition.partition);\n  const value = partitionValue(next);",
      "  if (token !== undefined) answer(s, token, Err.OK, next);\n  const path = partitionPath(partition.partition);\n  const value = partitionValue(next);",
    ]],
  },
  {
    name: "M12 learners get prepares one decree too late",
    file: "src/replication/teacher.ts",
    edits: [[
      "const prepareStart = list.committed + 1;",
      "const prepareStart = list.committed + 2;",
    ]],
  },
  {
    name: "M13 a learner takes prepares before the answer to its LEARN",
    file: "src/replication/secondary.ts",
    edits: [[
      "return isFollower(s) ? Err.OK : Err.TRY_AGAIN;",
      "return Err.OK;",
    ]],
  },
  {
    name: "M14 durable is claimed before the engine is flushed",
    file: "roles/replica/disk_store.ts",
    whole: true,
    edits: [["    await engine.flush();\n", ""]],
  },
  {
    name: "M15 the log is collected beyond what is durable",
    file: "roles/replica/disk_store.ts",
    whole: true,
    edits: [["await log.collect(at.decree, ", "await log.collect(at.decree + 10, "]],
  },
  {
    name: "M16 acknowledged before the log is synced",
    file: "storage/shared_log.ts",
    whole: true,
    edits: [["      await this.#sync.sync(segment.file);\n", ""]],
  },
  {
    name: "M17 damage inside a log is taken for its end",
    file: "storage/log_reader.ts",
    edits: [["    if (last && !proven) return offset;", "    if (last) return offset;"]],
    whole: true,
  },
  {
    name: "M35 a torn tail leads without having compared itself",
    file: "src/replication/tail_check.ts",
    whole: true,
    edits: [[
      "if (!s.tailTorn || members.length === 0) return lead(s);",
      "if (!s.tailTorn || members.length > 0) return lead(s);",
    ]],
  },
  {
    name: "M36 a restarted member counts by the length of its log alone",
    file: "src/replication/rejoin.ts",
    whole: true,
    edits: [[
      "return !message.mayLack || message.mutationBallot >= committedBallot;",
      "return committedBallot >= 0;",
    ]],
  },
  {
    name: "M18 rows expire by the local clock",
    file: "storage/translate.ts",
    edits: [["secondsSince2016(timestampUs / 1000)", "secondsSince2016(Date.now())"]],
  },
  {
    name: "M19 a write in replication is reported as not done",
    file: "src/replication/execution.ts",
    edits: [["      error: Err.OUTCOME_UNKNOWN,", "      error: Err.INVALID_STATE,"]],
  },
  {
    name: "M20 config sync answers while a removal is being stored",
    file: "src/placement/config_sync.ts",
    edits: [[
      "if (inFlight?.node === name || isLeaving) {",
      'if (inFlight?.node === name && isLeaving && name === "") {',
    ]],
  },
  // In a model: the fence is the store's, and no meta can go around it. What is tried here is the judge.
  {
    name: "M21 a leader of the past writes unconditionally",
    file: "tests/sim/sim_store.ts",
    edits: [[
      "if (session.expired || epoch !== this.#epoch) {",
      'changes = changes.map((change) => change.op === "set" ? { ...change, version: -1 } : change);\n    if (epoch < 0) {',
    ]],
  },
  {
    name: "M22 a primary goes on during its own reconfiguration",
    file: "src/replication/membership.ts",
    edits: [[
      '  note(s, "reconfigure", { change, node, ballot: config.ballot });\n  becomeTransient(s);',
      '  note(s, "reconfigure", { change, node, ballot: config.ballot });\n  if (change !== "DOWNGRADE_TO_INACTIVE" || node === s.self) becomeTransient(s);\n  else s.primary!.secondaries.delete(node);',
    ]],
  },
  {
    name: "M23 a client repeats a bare write",
    file: "src/client/operation.ts",
    edits: [['  if (op.kind === "bare") return finish(op, code);\n', ""]],
  },
  {
    name: "M24 the engine's applied row is trusted after power loss",
    file: "roles/replica/disk_stores.ts",
    whole: true,
    edits: [
      ["    applied: sessions.decree,\n", "    applied: proven,\n"],
      ["tail: mutations.slice(first.length)", "tail: mutations.slice(needed.length)"],
    ],
  },
  {
    name: "M25 a learner is promoted while it still executes what it caught up with",
    file: "src/replication/learner.ts",
    edits: [["  if (s.applied + 1 < learner.prepareStart) return;\n", ""]],
  },
  {
    name: "M26 a learner is promoted before reconciliation has ended",
    file: "src/replication/teacher.ts",
    edits: [["  if (s.list.committed < s.primary!.readableFrom) return;\n", ""]],
  },
  {
    name: "M28 exactly-once results are not remembered",
    file: "src/replication/session_window.ts",
    edits: [[
      'if (outcome !== undefined) return { kind: "done", outcome };',
      "if (outcome === undefined && sequence < 0) return NEW;",
    ]],
  },
  {
    name: "M33 an expired session is replaced after an attempt that may have happened",
    file: "src/client/operation.ts",
    edits: [["  if (op.maybeDone) return finish(op, Err.SESSION_EXPIRED);\n", ""]],
  },
  {
    name: "M34 a replica that is gone is made anew, and leads",
    file: "roles/replica/shard_host.ts",
    edits: [[
      "if (empty || isNew || this.shelf.isClosed(partition)) {",
      "if (empty || isNew !== undefined || this.shelf.isClosed(partition)) {",
    ]],
    whole: true,
  },
  {
    name: "M37 a damaged copy goes at once",
    file: "src/replication/membership.ts",
    edits: [[
      "  s.damage ??= reason;\n",
      '  s.damage ??= reason;\n  if (s.status !== "inactive") return condemn(s, reason);\n',
    ]],
  },
  {
    name: "M29 an image comes without its exactly-once window",
    file: "roles/replica/transfer_source.ts",
    whole: true,
    edits: [[
      "new ImageExport(engine, core.sessionsImage)",
      "new ImageExport(engine, new Uint8Array(0))",
    ]],
  },
  {
    name: "M31 a primary leads again whatever the power took",
    file: "roles/replica/disk_stores.ts",
    whole: true,
    edits: [[
      'return wasUnsynced && (boot === "" || manifest.boot !== boot);',
      "return wasUnsynced && manifest.boot === boot && boot === manifest.tableName;",
      // Bytes that are no records often tell as well.
    ], ["const { tornTail } = recovery;", "const tornTail = recovery.lastSequence < 0;"]],
  },
  {
    name: "M32 a meta leader that slept trusts its monotonic clock",
    file: "src/base/clock.ts",
    edits: [["  return ms < SLEEP_MS_MIN ? 0 : ms;", "  return ms < SLEEP_MS_MIN ? 0 : 0 * ms;"]],
  },
  {
    name: "M30 reads miss rows on their way to the database",
    file: "storage/write_behind.ts",
    whole: true,
    edits: [["    if (value === undefined) value = this.#leaving?.find(key);\n", ""]],
  },
];
