// Web sessions that end by themselves: one row per session, its TTL is the life of the session.
//
//   deno run -NE docs/examples/session_store.ts        # a cluster at $PEGASUS_META or 127.0.0.1:34601

import process from "node:process";
import { openCluster, type Table } from "../../src/client/mod.ts";

/** A session lives this long after its last use, in seconds. */
const SESSION_SECONDS = 1800;

interface Session {
  readonly user: string;
  readonly cart: readonly string[];
}

/** Sessions by id. Hash key = the id, so sessions spread over all partitions; the sort key is empty. */
class SessionStore {
  readonly #table: Table;

  constructor(table: Table) {
    this.#table = table;
  }

  async save(id: string, session: Session): Promise<void> {
    await this.#table.set(id, "", JSON.stringify(session), { ttl: SESSION_SECONDS });
  }

  /** The session, whose life starts anew; `undefined` if it has ended. */
  async use(id: string): Promise<Session | undefined> {
    const value = await this.#table.get(id, "");
    if (value === undefined) return undefined;
    // Not a blind write: a session that was saved or ended meanwhile is left alone.
    await this.#table.compareExchange(id, "", value, value, { ttl: SESSION_SECONDS });
    return JSON.parse(new TextDecoder().decode(value));
  }

  async end(id: string): Promise<void> {
    await this.#table.del(id, "");
  }

  /** Seconds until it ends. */
  async secondsLeft(id: string): Promise<number> {
    return await this.#table.ttl(id, "") ?? 0;
  }
}

const cluster = openCluster({ meta: (process.env.PEGASUS_META ?? "127.0.0.1:34601").split(",") });
try {
  await cluster.admin.createTable("example_sessions", { partitionCount: 4 });
  const sessions = new SessionStore(cluster.table("example_sessions"));
  const id = crypto.randomUUID();
  await sessions.save(id, { user: "ada", cart: ["engine", "punched cards"] });
  const found = await sessions.use(id);
  const left = await sessions.secondsLeft(id);
  console.log(`${found?.user} has ${found?.cart.length} things in the cart`);
  console.log(left > 0 && left <= SESSION_SECONDS ? "it ends by itself" : `it has ${left} s left`);
  await sessions.end(id);
  console.log(await sessions.use(id) === undefined ? "logged out" : "still there");
} finally {
  await cluster.close();
}
