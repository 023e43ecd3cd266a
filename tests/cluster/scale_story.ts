// A cluster grows under load, spreads what it has over the new servers, and empties one: the story of
// balance_test.ts in any size. Run alone it tells numbers:
//   deno run -A tests/cluster/scale_story.ts [servers added tables partitions]

import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { type Cluster, openCluster } from "../../src/client/mod.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { type TestCluster, withCluster } from "./harness.ts";

/** How large it is. */
export interface Scale {
  readonly servers: number;
  readonly added: number;
  readonly tables: number;
  readonly partitions: number;
}

/** What came out. */
export interface ScaleResult {
  /** Primaries and replicas per server in use, after balancing and after draining. */
  readonly balanced: readonly Counts[];
  readonly drained: readonly Counts[];
  /** What is left on the drained server. */
  readonly left: number;
  /** What clients saw that try again until their deadline. */
  readonly errors: readonly string[];
  /** Rows and counters that are not what was acknowledged. */
  readonly wrong: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
}

interface Counts {
  readonly node: string;
  readonly primaries: number;
  readonly replicas: number;
}

const WAIT_MS = 240_000;
const CLIENTS = 8;
const KEYS = 50;
const TIMEOUT_MS = 10_000;

/** Clients that write, count and read back all the time. */
class Load {
  readonly errors: string[] = [];
  readonly wrong: string[] = [];
  readonly latencies: number[] = [];
  #stopped = false;
  #running: Promise<void>[] = [];

  constructor(cluster: Cluster, tables: readonly string[]) {
    for (let i = 0; i < CLIENTS; i++) {
      this.#running.push(this.#client(cluster, tables[i % tables.length]!, i));
    }
  }

  async #client(cluster: Cluster, name: string, id: number): Promise<void> {
    const table = cluster.table(name);
    const counts = new Map<string, bigint>();
    for (let round = 0; !this.#stopped; round++) {
      const key = `client ${id} key ${round % KEYS}`;
      const value = `round ${round}`;
      try {
        await this.#timed(table.set(key, "row", value));
        const count = await this.#timed(table.incr(key, "count", 1n));
        const expected = (counts.get(key) ?? 0n) + 1n;
        if (count !== expected) this.wrong.push(`${key} counted ${count}, not ${expected}`);
        counts.set(key, count);
        const found = await this.#timed(table.get(key, "row"));
        const text = found === undefined ? "nothing" : fromUtf8(found);
        if (text !== value) this.wrong.push(`${key} is "${text}", not "${value}"`);
      } catch (error) {
        this.errors.push(String(error));
        counts.delete(key);
        const now = await table.get(key, "count").catch(() => undefined);
        if (now !== undefined) counts.set(key, BigInt(fromUtf8(now)));
      }
    }
  }

  async #timed<T>(call: Promise<T>): Promise<T> {
    const startedAt = performance.now();
    try {
      return await call;
    } finally {
      this.latencies.push(performance.now() - startedAt);
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }
}

/** Plays it. Failures are part of the result, as far as they are the cluster's. */
export async function playScale(scale: Scale): Promise<ScaleResult> {
  const { servers, added, tables, partitions } = scale;
  let result: ScaleResult | undefined;
  const replicas = servers + added;
  await withCluster({ replicas, later: added }, async (cluster) => {
    const names = Array.from({ length: tables }, (_, i) => `t${i + 1}`);
    for (const name of names) await cluster.createTable(name, partitions, 3);
    const client = openCluster({ meta: cluster.metas, timeoutMs: TIMEOUT_MS });
    try {
      for (const name of names) await fill(client, name);
      const load = new Load(client, names);
      const { grown, emptied } = await growAndEmpty(cluster, client, scale)
        .finally(() => load.stop());
      const sorted = load.latencies.toSorted((a, b) => a - b);
      const at = (share: number) => Math.round(sorted[Math.floor(sorted.length * share)] ?? 0);
      result = {
        balanced: grown.counts,
        drained: emptied.counts.filter(({ node }) => node !== cluster.addressOf("r1")),
        left: emptied.counts.find(({ node }) => node === cluster.addressOf("r1"))?.replicas ?? 0,
        errors: load.errors,
        wrong: [...load.wrong, ...await checkRows(client, names)],
        figures: {
          moves: grown.moves,
          balance_s: grown.seconds,
          drain_s: emptied.seconds,
          operations: sorted.length,
          p50_ms: at(0.5),
          p99_ms: at(0.99),
          p999_ms: at(0.999),
          max_ms: Math.round(sorted.at(-1) ?? 0),
        },
      };
    } finally {
      await client.close();
    }
  });
  return result!;
}

/** Rows that nobody changes. */
async function fill(client: Cluster, name: string): Promise<void> {
  const table = client.table(name);
  const rows = Array.from({ length: 500 }, (_, i) => i);
  await Promise.all(rows.map((i) => table.set(`still ${i}`, "s", utf8(`value ${i}`))));
}

async function checkRows(client: Cluster, names: readonly string[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const name of names) {
    for (let i = 0; i < 500; i++) {
      const found = await client.table(name).get(`still ${i}`, "s");
      if (found === undefined || fromUtf8(found) !== `value ${i}`) wrong.push(`${name} row ${i}`);
    }
  }
  return wrong;
}

async function growAndEmpty(cluster: TestCluster, client: Cluster, scale: Scale) {
  const grown = await grow(cluster, client, scale);
  return { grown, emptied: await empty(client, cluster.addressOf("r1")) };
}

async function grow(cluster: TestCluster, client: Cluster, { servers, added }: Scale) {
  for (let i = 1; i <= added; i++) await cluster.start(`r${servers + i}`);
  await cluster.waitForNodes(servers + added);
  const startedAt = performance.now();
  await client.admin.balance("start");
  const isDone = async () => {
    const { running, moving } = await client.admin.balance("status");
    return !running && moving === 0;
  };
  if (!(await waitFor(isDone, WAIT_MS, 200))) throw new Error("Balancing does not end");
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  const { started: moves } = await client.admin.balance("status");
  return { seconds, moves, counts: await countsOf(client) };
}

async function empty(client: Cluster, node: string) {
  const startedAt = performance.now();
  await client.admin.drain(node, true);
  const isEmpty = async () => {
    const found = (await countsOf(client)).find((counts) => counts.node === node);
    if (found?.replicas !== 0) return false;
    const { running, moving } = await client.admin.balance("status");
    return !running && moving === 0;
  };
  if (!(await waitFor(isEmpty, WAIT_MS, 200))) throw new Error("Draining does not end");
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  return { seconds, counts: await countsOf(client) };
}

async function countsOf(client: Cluster): Promise<Counts[]> {
  const nodes = await client.admin.listNodes();
  return nodes.map(({ node, primaries, replicas }) => ({ node, primaries, replicas }));
}

if (import.meta.main) {
  const [servers = 5, added = 2, tables = 3, partitions = 32] = Deno.args.map(Number);
  const result = await playScale({ servers, added, tables, partitions });
  console.log(JSON.stringify(result, undefined, 1));
}
