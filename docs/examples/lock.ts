// A lock that frees itself when its holder dies: a row that is created only if it is missing, with a TTL. Every
// holder gets a number that only grows; the protected resource refuses smaller ones, because a
// holder may be paused for longer than its lock lives and not know it.
//
//   deno run -NE docs/examples/lock.ts        # a cluster at $PEGASUS_META or 127.0.0.1:34601

import process from "node:process";
import { openCluster, type Table } from "../../src/client/mod.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A lock in the hand of its holder. */
interface Held {
  readonly owner: string;
  /** Grows with every holder; show it to what the lock protects. */
  readonly fencing: bigint;
}

/** One lock. Rows: "owner" -> who holds it, "fencing" -> number of the last holder. */
class Lock {
  readonly #table: Table;
  readonly #name: string;
  readonly #seconds: number;

  /** @param seconds The lock is free so long after its holder was last heard of. */
  constructor(table: Table, name: string, seconds: number) {
    this.#table = table;
    this.#name = name;
    this.#seconds = seconds;
  }

  /** Takes the lock if it is free. */
  async tryTake(): Promise<Held | undefined> {
    const { rows } = await this.#table.multiGet(this.#name, ["owner", "fencing"]);
    const found = new Map(rows.map(({ sortKey, value }) => [text(sortKey), text(value)]));
    if (found.has("owner")) return undefined;
    const last = found.get("fencing");
    const held = { owner: crypto.randomUUID(), fencing: BigInt(last ?? 0) + 1n };
    // Everybody who takes the lock changes the number: as long as it is the one read, nobody has.
    const unchanged = last === undefined
      ? { sortKey: "fencing", type: "not_exist" } as const
      : { sortKey: "fencing", type: "bytes_equal", operand: last } as const;
    const { passed } = await this.#table.checkAndMutate(this.#name, unchanged, [
      { put: "fencing", value: String(held.fencing) },
      { put: "owner", value: held.owner, ttl: this.#seconds },
    ]);
    return passed ? held : undefined;
  }

  /** Holds on for another term. @returns False if the lock was lost: stop working. */
  async renew(held: Held): Promise<boolean> {
    const { owner } = held;
    const life = { ttl: this.#seconds };
    return (await this.#table.compareExchange(this.#name, "owner", owner, owner, life)).exchanged;
  }

  /** Gives the lock back, if it is still held. */
  async release(held: Held): Promise<void> {
    const mine = { sortKey: "owner", type: "bytes_equal", operand: held.owner } as const;
    await this.#table.checkAndMutate(this.#name, mine, [{ remove: "owner" }]);
  }
}

const cluster = openCluster({ meta: (process.env.PEGASUS_META ?? "127.0.0.1:34601").split(",") });
try {
  await cluster.admin.createTable("example_locks", { partitionCount: 4 });
  const lock = new Lock(cluster.table("example_locks"), `nightly-${crypto.randomUUID()}`, 30);
  const takers = await Promise.all(Array.from({ length: 5 }, () => lock.tryTake()));
  const holders = takers.filter((held) => held !== undefined);
  console.log(`${holders.length} of ${takers.length} got the lock`);
  const [first] = holders;
  if (first === undefined) throw new Error("Somebody must have got it");
  console.log(`renewed: ${await lock.renew(first)}`);
  await lock.release(first);
  const next = await lock.tryTake();
  console.log(`the next holder is number ${next?.fencing}`);
  console.log(`the first one can go on: ${await lock.renew(first)}`);
} finally {
  await cluster.close();
}
