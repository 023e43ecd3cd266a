// A shard in a thread of its own, seen from the control part: a Worker and the questions it was asked.
// Invariants: a question is answered exactly once, at the latest when the thread ends; an exception nobody caught
// in the thread is reported, never swallowed: it then stands still, its state is unknown. The Worker is ended only
// after its shard has closed its engines: ending it with an open one would abort the process.

import { StoreError } from "../../src/base/errors.ts";
import type { NodeId } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { FamilyDump } from "../../src/observe/metric.ts";
import type { ReplicaSettings } from "../../src/replication/io.ts";
import type { AuditSink } from "../audit.ts";
import { extractedFor } from "../extraction.ts";
import type { ShardCommand, ShardReport } from "./control_link.ts";
import type { ShardView } from "./replica_metrics.ts";
import type {
  FromShard,
  Outcome,
  RunRemote,
  ShardLink,
  ShardPlan,
  ShardQuestion,
  ToShard,
} from "./shard_link.ts";

/** What a thread is started with. */
export interface ThreadOptions {
  readonly plan: ShardPlan;
  readonly memory: SharedArrayBuffer;
  readonly logger: Logger;
  readonly report: (report: ShardReport) => void;
  readonly audit: AuditSink;
  /** Maintenance commands that come in on the shard's port. */
  readonly remote: RunRemote;
  /** The shard failed in a way nobody foresaw. */
  readonly onFault: (error: Error) => void;
}

/** What people look at must not wait for a thread that stands still, ms. */
const LOOK_TIMEOUT_MS = 2000;

interface Asked {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** See the file comment. */
export class ShardThread implements ShardLink {
  readonly #options: ThreadOptions;
  readonly #worker: Worker;
  readonly #asked = new Map<number, Asked>();
  #asks = 0;
  #loaded: Asked | undefined;
  #fault: Error | undefined;
  #closing: Promise<void> | undefined;

  private constructor(options: ThreadOptions) {
    this.#options = options;
    this.#worker = new Worker(new URL("./shard_worker.ts", import.meta.url), {
      type: "module",
      name: `shard ${options.plan.shard}`,
    });
    this.#worker.onmessage = ({ data }: MessageEvent<FromShard>) => this.#take(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#onFault(event.message);
    };
  }

  /** Starts the thread; resolves when its program is loaded. @throws {Error} If it cannot be loaded. */
  static async start(options: ThreadOptions): Promise<ShardThread> {
    // Here, because a thread of the compiled program does not know that it is one.
    const thread = await extractedFor(async () => {
      const started = new ShardThread(options);
      await new Promise((resolve, reject) => started.#loaded = { resolve, reject });
      return started;
    });
    thread.#post({ kind: "start", plan: options.plan, memory: options.memory });
    return thread;
  }

  async recover(): Promise<void> {
    await this.#ask({ ask: "recover" });
  }

  async open(): Promise<number> {
    return await this.#ask({ ask: "open" }) as number;
  }

  async listen(node: NodeId): Promise<string> {
    return await this.#ask({ ask: "listen", node }) as string;
  }

  command(command: ShardCommand): void {
    this.#post({ kind: "command", command });
  }

  async view(): Promise<ShardView> {
    return await this.#ask({ ask: "view" }, LOOK_TIMEOUT_MS) as ShardView;
  }

  async metrics(): Promise<readonly FamilyDump[]> {
    return await this.#ask({ ask: "metrics" }, LOOK_TIMEOUT_MS) as FamilyDump[];
  }

  async remote(command: string, args: readonly string[]): Promise<string> {
    return await this.#ask({ ask: "remote", command, args }) as string;
  }

  configure(replication: ReplicaSettings): void {
    this.#post({ kind: "configure", replication });
  }

  async stopServing(): Promise<void> {
    await this.#ask({ ask: "stopServing" });
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    // After a fault nobody is there to close anything; the process ends anyway.
    if (this.#fault === undefined) await this.#ask({ ask: "close" });
    this.#worker.terminate();
  }

  #post(message: ToShard): void {
    this.#worker.postMessage(message);
  }

  /** @param timeoutMs 0 = as long as it takes. */
  #ask(question: ShardQuestion, timeoutMs = 0): Promise<unknown> {
    if (this.#fault !== undefined) return Promise.reject(this.#fault);
    const id = ++this.#asks;
    const answer = new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }));
    this.#post({ kind: "question", id, question });
    if (timeoutMs === 0) return answer;
    const timer = setTimeout(() => {
      this.#settle(id, { ok: false, message: `Shard ${this.#options.plan.shard} does not answer` });
    }, timeoutMs);
    return answer.finally(() => clearTimeout(timer));
  }

  #settle(id: number, outcome: Outcome): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (asked === undefined) return;
    if (outcome.ok) asked.resolve(outcome.value);
    else asked.reject(errorOf(outcome));
  }

  #take(message: FromShard): void {
    const { report, logger, audit } = this.#options;
    switch (message.kind) {
      case "loaded":
        return this.#loaded?.resolve(undefined);
      case "clock":
        return this.#post({ kind: "clock", mono: performance.now() });
      case "answer":
        return this.#settle(message.id, message.outcome);
      case "report":
        return report(message.report);
      case "audit":
        return audit(message.entry);
      case "remote":
        return this.#runRemote(message.id, message.command, message.args);
      case "log":
        return logger[message.level](message.message, message.details);
      case "fault":
        return this.#onFault(message.reason);
    }
  }

  #runRemote(id: number, command: string, args: readonly string[]): void {
    this.#options.remote(command, args).then(
      (value) => this.#post({ kind: "remoteDone", id, outcome: { ok: true, value } }),
      (error) => this.#post({ kind: "remoteDone", id, outcome: failureOf(error) }),
    );
  }

  #onFault(reason: string): void {
    const fault = new Error(`Shard ${this.#options.plan.shard} failed: ${reason}`);
    this.#fault = fault;
    this.#loaded?.reject(fault);
    for (const { reject } of this.#asked.values()) reject(fault);
    this.#asked.clear();
    this.#options.onFault(fault);
  }
}

/** How a question failed, as it travels. */
export function failureOf(error: unknown): Outcome {
  if (error instanceof StoreError) return { ok: false, message: error.detail, code: error.code };
  return { ok: false, message: error instanceof Error ? error.message : String(error) };
}

/** The error at the other end. */
export function errorOf({ message, code }: Extract<Outcome, { ok: false }>): Error {
  return code === undefined ? new Error(message) : new StoreError(code, message);
}
