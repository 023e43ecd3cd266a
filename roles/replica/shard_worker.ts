// The program of a shard's own thread: one Shard, driven by messages of the control part (shard_thread.ts).
// Invariant: after an exception that nobody caught nothing more happens here: the control part is told and ends
// the process, because the state is unknown and recovery starts from what is durable. `deno compile` takes this
// file along because roles/build/compile.ts names it.

import { systemClock } from "../../src/base/clock.ts";
import { type Logger, loggerOf } from "../../src/observe/logger.ts";
import { openMetrics } from "../../src/observe/metrics.ts";
import { diskFiles } from "../../storage/disk_files.ts";
import { watchThread } from "../http/process_metrics.ts";
import { LeaseGate } from "./control_link.ts";
import type { Shard } from "./shard.ts";
import type { FromShard, Outcome, ShardPlan, ShardQuestion, ToShard } from "./shard_link.ts";
import { beat } from "./shared_memory.ts";
import { errorOf, failureOf } from "./shard_thread.ts";

/** The part of a Worker's global scope that is used here; the types of pages do not have it. */
interface WorkerScope {
  postMessage(message: FromShard): void;
  onmessage: (event: MessageEvent<ToShard>) => void;
  addEventListener: typeof globalThis.addEventListener;
}

const scope = globalThis as unknown as WorkerScope;
/** Rounds to find the distance of two clocks; the quickest counts. */
const CLOCK_ROUNDS = 8;

let clockAnswer: (mono: number) => void = () => {};
let shard: Shard | undefined;
let failed = false;
/** Maintenance commands that the control part performs for this shard. */
const remotes = new Map<number, (outcome: Outcome) => void>();
let remoteAsks = 0;

function post(message: FromShard): void {
  if (!failed) scope.postMessage(message);
}

/**
 * By how much the control part's monotonic clock is ahead of this thread's, at most: each thread counts from its
 * own start. The answer was read after the question was asked, so the true distance is not larger; too large
 * a value only ends the lease that much earlier.
 */
async function clockDistance(): Promise<number> {
  let distance = Infinity;
  for (let round = 0; round < CLOCK_ROUNDS; round++) {
    const asked = performance.now();
    const mono = await new Promise<number>((resolve) => {
      clockAnswer = resolve;
      post({ kind: "clock" });
    });
    distance = Math.min(distance, mono - asked);
  }
  return distance;
}

const logger: Logger = loggerOf((level, message, details) => {
  try {
    post({ kind: "log", level, message, details });
  } catch {
    // Something in the details does not travel: its text does.
    const texts = Object.entries(details ?? {}).map(([name, value]) => [name, String(value)]);
    post({ kind: "log", level, message, details: Object.fromEntries(texts) });
  }
});

/** The program; whoever starts this thread knows where its addons are extracted to. */
const loading = import("./shard.ts");

async function start(plan: ShardPlan, memory: SharedArrayBuffer): Promise<Shard> {
  const { Shard } = await loading;
  const registry = openMetrics();
  watchThread(registry);
  return new Shard(plan, {
    files: diskFiles,
    clock: systemClock,
    logger,
    lease: new LeaseGate(systemClock, memory, await clockDistance()),
    registry,
    report: (report) => post({ kind: "report", report }),
    audit: (entry) => post({ kind: "audit", entry }),
    remote: (command, args) => {
      const id = ++remoteAsks;
      post({ kind: "remote", id, command, args });
      return new Promise((resolve, reject) => {
        remotes.set(id, (outcome) => {
          if (outcome.ok) resolve(outcome.value as string);
          else reject(errorOf(outcome));
        });
      });
    },
    beat: () => beat(memory, plan.shard),
  });
}

async function answer(question: ShardQuestion): Promise<unknown> {
  const own = await starting;
  if (own === undefined) throw new Error("The shard was not started");
  switch (question.ask) {
    case "listen":
      return await own.listen(question.node);
    case "remote":
      return await own.remote(question.command, question.args);
    default:
      return await own[question.ask]();
  }
}

let starting: Promise<Shard> | undefined;

function take(message: ToShard): void {
  switch (message.kind) {
    case "start":
      starting = start(message.plan, message.memory);
      starting.then((started) => shard = started);
      return;
    case "clock":
      return clockAnswer(message.mono);
    case "question": {
      const { id, question } = message;
      answer(question).then(
        (value) => post({ kind: "answer", id, outcome: { ok: true, value } }),
        (error) => post({ kind: "answer", id, outcome: failureOf(error) }),
      );
      return;
    }
    case "command":
      return shard?.command(message.command);
    case "configure":
      return shard?.configure(message.replication);
    case "remoteDone":
      remotes.get(message.id)?.(message.outcome);
      remotes.delete(message.id);
      return;
  }
}

function fail(kind: string, error: unknown): void {
  post({ kind: "fault", reason: `${kind}: ${error instanceof Error ? error.stack : error}` });
  failed = true;
  // No other event runs here any more; the process ends as soon as the control part has read the message.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

scope.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  fail("Unhandled rejection", event.reason);
});
scope.addEventListener("error", (event) => {
  event.preventDefault();
  fail("Uncaught exception", event.error ?? event.message);
});
scope.onmessage = ({ data }) => take(data);
loading.then(() => post({ kind: "loaded" }));
