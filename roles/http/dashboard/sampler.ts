// Asks the replica servers for their numbers while somebody looks at the dashboard, and keeps the last
// minutes of them. Invariants: nobody is asked when nobody looks; a server that does not answer delays the
// others by no more than ASK_TIMEOUT_MS; the history has at most POINTS_MAX points. Page: docs/http.md.

import {
  addWork,
  noWork,
  type Rates,
  ratesOf,
  readSample,
  type ServerSample,
  type TableWork,
  type Traffic,
  trafficBetween,
} from "./samples.ts";

/** A server to ask. */
export interface Asked {
  /** Its name, "host:port". */
  readonly node: string;
  /** 0 = it has no HTTP. */
  readonly httpPort: number;
}

/** What a server said last. */
export interface ServerNumbers {
  readonly sample: ServerSample;
  /** Needs two looks. */
  readonly traffic: Traffic | undefined;
  /** Partitions that learn there, as "1.3". */
  readonly learning: readonly string[];
}

/** One moment of the history. */
export interface Point {
  /** Unix milliseconds. */
  readonly at: number;
  readonly total: Rates;
  readonly tables: ReadonlyMap<string, Rates>;
}

/** Pause between looks. */
const LOOK_EVERY_MS = 2000;
/** Nobody looks any more after a page was silent for so long. */
const WATCHED_MS = 10_000;
/** A server that does not answer. */
const ASK_TIMEOUT_MS = 1500;
/** Five minutes. */
const POINTS_MAX = 150;

/** See the file comment. */
export class Sampler {
  readonly #servers: () => Promise<readonly Asked[]>;
  #numbers = new Map<string, ServerNumbers>();
  readonly #points: Point[] = [];
  #wantedUntil = 0;
  #running = false;

  /** @param servers Whom to ask: those that are alive. */
  constructor(servers: () => Promise<readonly Asked[]>) {
    this.#servers = servers;
  }

  /** Somebody looks: goes on for a while. */
  watch(): void {
    this.#wantedUntil = performance.now() + WATCHED_MS;
    if (this.#running) return;
    this.#running = true;
    void this.#run();
  }

  /** What a server said last; `undefined` if it did not answer. */
  numbersOf(node: string): ServerNumbers | undefined {
    return this.#numbers.get(node);
  }

  /** Oldest first. */
  get points(): readonly Point[] {
    return this.#points;
  }

  /** Ends the looking; a look that runs ends by its timeout. */
  close(): void {
    this.#wantedUntil = -Infinity;
  }

  async #run(): Promise<void> {
    // A gap in the history would make one long rate out of it.
    this.#numbers.clear();
    while (performance.now() < this.#wantedUntil) {
      const startedAt = performance.now();
      await this.#look().catch(() => {});
      if (performance.now() >= this.#wantedUntil) break;
      const pauseMs = LOOK_EVERY_MS - (performance.now() - startedAt);
      await new Promise((resolve) => setTimeout(resolve, Math.max(100, pauseMs)));
    }
    this.#running = false;
  }

  async #look(): Promise<void> {
    const servers = await this.#servers();
    const next = new Map<string, ServerNumbers>();
    await Promise.all(servers.map(async (asked) => {
      const numbers = await this.#ask(asked).catch(() => undefined);
      if (numbers !== undefined) next.set(asked.node, numbers);
    }));
    this.#numbers = next;
    this.#addPoint();
  }

  async #ask({ node, httpPort }: Asked): Promise<ServerNumbers | undefined> {
    if (httpPort === 0) return undefined;
    const base = `http://${node.slice(0, node.lastIndexOf(":"))}:${httpPort}`;
    const [metrics, replicas] = await Promise.all([
      fetchText(`${base}/metrics`),
      fetchText(`${base}/replica/replicas`),
    ]);
    const sample = readSample(metrics, performance.now());
    const before = this.#numbers.get(node)?.sample;
    return {
      sample,
      traffic: before === undefined ? undefined : trafficBetween(before, sample),
      learning: learnersIn(JSON.parse(replicas)),
    };
  }

  #addPoint(): void {
    const tables = new Map<string, TableWork>();
    const total = noWork();
    let told = 0;
    for (const { traffic } of this.#numbers.values()) {
      if (traffic === undefined) continue;
      told++;
      for (const [name, work] of traffic.tables) {
        const own = tables.get(name) ?? noWork();
        addWork(own, work);
        addWork(total, work);
        tables.set(name, own);
      }
    }
    if (told === 0) return;
    const rates = new Map([...tables].map(([name, work]) => [name, ratesOf(work)]));
    this.#points.push({ at: Date.now(), total: ratesOf(total), tables: rates });
    if (this.#points.length > POINTS_MAX) this.#points.shift();
  }
}

async function fetchText(url: string): Promise<string> {
  const signal = AbortSignal.timeout(ASK_TIMEOUT_MS);
  const response = await fetch(url, { signal, redirect: "error" });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
  return text;
}

/** Partitions that learn, from /replica/replicas. */
function learnersIn(replicas: unknown): string[] {
  if (typeof replicas !== "object" || replicas === null) return [];
  return Object.entries(replicas)
    .filter(([, report]) => (report as { status?: unknown } | null)?.status === "learner")
    .map(([partition]) => partition);
}
