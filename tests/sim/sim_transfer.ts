// Images and log chunks between simulated servers: the serving side keeps images for a while and may lose
// them, the pulling side asks again, gives up, or installs (roles/replica/transfer.ts is the real one).

import { Err } from "../../src/base/errors.ts";
import type { NodeId } from "../../src/base/ids.ts";
import type { ReplicaEffect } from "../../src/replication/io.ts";
import { decodeMutation, type Mutation } from "../../src/schema/mutation.ts";
import { LearnFetch } from "../../src/schema/replica_rpc.ts";
import type { RequestOf, ResponseOf } from "../../src/schema/rpc.ts";
import { heavyTail } from "./chance.ts";
import type { Env } from "./env.ts";
import { keyBytes, keyText } from "./model_engine.ts";
import type { Responder } from "./rpc.ts";
import type { SimReplica } from "./sim_replica.ts";

type Request = RequestOf<typeof LearnFetch>;
type Answer = ResponseOf<typeof LearnFetch>;

const ROWS_PER_CHUNK = 8;
const MUTATIONS_PER_CHUNK = 4;
const TRIES_MAX = 6;
const FETCH_TIMEOUT_MS = 400;

interface Image {
  /** Sessions image first, then alternating keys and values. */
  readonly rows: readonly Uint8Array[];
  readonly decree: number;
}

/** The images a replica holds open for learners. */
export class ImageShelf {
  readonly #replica: SimReplica;
  readonly #images = new Map<number, Image>();

  constructor(replica: SimReplica) {
    this.#replica = replica;
  }

  serve(request: Request, responder: Responder): void {
    if (request.source === "log") return this.#serveLog(request, responder);
    if (request.image !== 0) return this.#serveChunk(request.image, request.position, responder);
    this.#replica.whenQuiet(() => {
      if (this.#replica.closed) return;
      const id = this.#replica.server.nextImage();
      const { core, files } = this.#replica;
      const rows = [core.sessionsImage];
      for (const [key, value] of files.engine.rows) rows.push(keyBytes(key), value);
      this.#images.set(id, { rows, decree: core.applied });
      // Few images are kept: a slow learner finds its image gone.
      if (this.#images.size > 3) this.#images.delete(this.#images.keys().next().value!);
      this.#serveChunk(id, 0, responder);
    });
  }

  #serveChunk(id: number, position: number, responder: Responder): void {
    const image = this.#images.get(id);
    if (image === undefined) return responder.fail(Err.LEARN_SOURCE_LOST);
    // One row of sessions, then pairs.
    const first = position * 2 * ROWS_PER_CHUNK + 1;
    const end = first + 2 * ROWS_PER_CHUNK;
    const rows = image.rows.slice(position === 0 ? 0 : first, end);
    const done = end >= image.rows.length;
    responder.reply({ rows, mutations: [], image: id, decree: image.decree, done, checksum: 0 });
  }

  #serveLog(request: Request, responder: Responder): void {
    const mutations = this.#replica.loggedMutations(request.position, MUTATIONS_PER_CHUNK);
    if (mutations === undefined) return responder.fail(Err.LEARN_SOURCE_LOST);
    responder.reply({ rows: [], mutations, image: 0, decree: 0, done: false, checksum: 0 });
  }
}

/** One transfer under way. */
abstract class Pull {
  protected readonly env: Env;
  protected readonly replica: SimReplica;
  protected readonly signature: number;
  readonly #from: NodeId;
  #tries = 0;
  #over = false;

  constructor(env: Env, replica: SimReplica, from: NodeId, signature: number) {
    this.env = env;
    this.replica = replica;
    this.#from = from;
    this.signature = signature;
  }

  cancel(): void {
    this.#over = true;
  }

  get over(): boolean {
    return this.#over || this.replica.closed;
  }

  protected ask(source: "log" | "image", position: number, image: number): void {
    const { replica } = this;
    const request: Request = {
      partition: replica.partition,
      from: replica.server.id,
      signature: this.signature,
      source,
      position,
      image,
    };
    const { rpc } = replica.server;
    rpc.start(this.#from, LearnFetch, request, FETCH_TIMEOUT_MS, (error, answer) => {
      if (this.over) return;
      if (error === Err.OK && answer !== undefined) {
        this.#tries = 0;
        return this.onAnswer(answer, position);
      }
      if (error === Err.LEARN_SOURCE_LOST || ++this.#tries >= TRIES_MAX) return this.fail(error);
      const { scheduler } = this.env;
      scheduler.after(50, "fetch again", replica.server, () => {
        if (!this.over) this.ask(source, position, image);
      });
    });
  }

  protected fail(error: number): void {
    this.cancel();
    this.replica.step({
      kind: "fetchFailed",
      signature: this.signature,
      local: false,
      reason: `Error ${error}`,
    });
  }

  protected abstract onAnswer(answer: Answer, position: number): void;
}

/** Copies an image and installs it. */
export class ImagePull extends Pull {
  readonly #rows: Uint8Array[] = [];
  readonly #ballot: number;

  constructor(
    env: Env,
    replica: SimReplica,
    effect: Extract<ReplicaEffect, { kind: "fetchImage" }>,
  ) {
    super(env, replica, effect.from, effect.signature);
    this.#ballot = effect.ballot;
    this.ask("image", 0, 0);
  }

  protected onAnswer(answer: Answer, position: number): void {
    this.#rows.push(...answer.rows);
    if (!answer.done) return this.ask("image", position + 1, answer.image);
    const delay = heavyTail(this.replica.server.diskChance, 5, 300);
    this.env.scheduler.after(delay, "install", this.replica.server, () => {
      if (this.over) return;
      // The engine may not be replaced under a running apply.
      this.replica.whenQuiet(() => {
        if (!this.over) this.#install(answer.decree);
      });
    });
  }

  #install(decree: number): void {
    this.cancel();
    const rows: [string, Uint8Array][] = [];
    for (let i = 1; i + 1 < this.#rows.length; i += 2) {
      rows.push([keyText(this.#rows[i]!), this.#rows[i + 1]!]);
    }
    this.env.coverage.hit("learn.image");
    this.replica.installImage(this.signature, rows, decree, this.#rows[0]!, this.#ballot);
  }
}

/** Copies a range of the log. */
export class LogPull extends Pull {
  readonly #last: number;

  constructor(
    env: Env,
    replica: SimReplica,
    effect: Extract<ReplicaEffect, { kind: "fetchLog" }>,
  ) {
    super(env, replica, effect.from, effect.signature);
    this.#last = effect.last;
    this.ask("log", effect.first, 0);
  }

  protected onAnswer(answer: Answer): void {
    const mutations: Mutation[] = [];
    for (const bytes of answer.mutations) {
      const mutation = decodeMutation(bytes);
      if (mutation !== undefined && mutation.decree <= this.#last) mutations.push(mutation);
    }
    const newest = mutations.at(-1)?.decree ?? this.#last;
    const done = newest >= this.#last;
    if (done) {
      this.cancel();
      this.env.coverage.hit("learn.log");
    }
    this.replica.step({ kind: "logFetched", signature: this.signature, mutations, done });
    if (!done && !this.over) this.ask("log", newest + 1, 0);
  }
}
