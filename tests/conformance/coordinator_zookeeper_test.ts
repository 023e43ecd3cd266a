// The coordinator over a real ZooKeeper: the suite of all coordinators, and what only several processes and a
// store of its own can do to each other: hand-over, frozen and restarted servers, late writes.
// One server for all tests, each below a root of its own, except where the server itself is hurt.

import assert from "node:assert/strict";
import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import type { Coordinator, LeadershipEvent, StoreOp } from "../../src/coordination/coordinator.ts";
import { ZooKeeperCoordinator } from "../../src/coordination/zookeeper.ts";
import { ZkClient } from "../../src/coordination/zookeeper_client.ts";
import { missing } from "../missing.ts";
import { TestZooKeeper, zooKeeperMissing } from "../zookeeper.ts";
import { coordinatorSuite, create, elected, set } from "./coordinator_suite.ts";

/** Long enough for a busy machine: a reign ends after two seconds of silence. */
const SESSION_MS = 3000;
/** No test waits so long unless something is broken. */
const LIMIT_MS = 15_000;

let roots = 0;

/** A candidate that remembers what it heard. */
class Candidate {
  readonly store: ZooKeeperCoordinator;
  readonly events: LeadershipEvent[] = [];
  /** Monotonic ms of each event. */
  readonly heardAt: number[] = [];
  readonly name: string;
  readonly #log: string[] = [];

  constructor(name: string, server: string, root: string, sessionMs = SESSION_MS) {
    this.name = name;
    this.store = new ZooKeeperCoordinator({
      address: `zookeeper://${server}${root}`,
      sessionMs,
      log: (level, message, details) =>
        this.#log.push(`${level} ${message} ${JSON.stringify(details ?? {})}`),
    });
    this.store.campaign(name, (event) => {
      this.events.push(event);
      this.heardAt.push(performance.now());
    });
  }

  /** The newest reign's number; 0 if the last word was another one. */
  get epoch(): number {
    const last = this.events.at(-1);
    return last?.kind === "elected" ? last.epoch : 0;
  }

  async leads(): Promise<number> {
    await this.until(() => this.epoch > 0);
    return this.epoch;
  }

  async follows(leader: string): Promise<void> {
    await this.until(() => {
      const last = this.events.at(-1);
      return last?.kind === "following" && last.leader === leader;
    });
  }

  async until(condition: () => boolean): Promise<void> {
    await until(condition, () => `${this.name}: ${JSON.stringify(this.events)} ${this.#log}`);
  }
}

async function until(condition: () => boolean, describe: () => string): Promise<void> {
  const limit = performance.now() + LIMIT_MS;
  while (!condition()) {
    assert.ok(performance.now() < limit, `Did not happen: ${describe()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function rawClient(server: string): ZkClient {
  const [host, port] = server.split(":");
  return new ZkClient({
    servers: [{ host: host!, port: Number(port) }],
    sessionMs: SESSION_MS,
    onConnected: () => {},
    onDisconnected: () => {},
    onEnd: () => {},
  });
}

async function text(store: Coordinator, path: string): Promise<string | undefined> {
  const node = await store.get(path);
  return node === undefined ? undefined : fromUtf8(node.value);
}

function register(shared: TestZooKeeper): void {
  coordinatorSuite({
    name: "ZooKeeperCoordinator",
    create: async () => {
      const address = `zookeeper://${shared.address}/suite/${roots++}`;
      const opened: Coordinator[] = [];
      return {
        open: async () => {
          const store = new ZooKeeperCoordinator({ address, sessionMs: SESSION_MS });
          opened.push(store);
          return store;
        },
        destroy: async () => {
          for (const store of opened) await store.close();
        },
      };
    },
  });
  registerHandOver(shared);
  registerWrites(shared);
  registerLimits(shared);
  registerFaults();
  registerRestarts();
}

/** A test with candidates, which are closed at its end. */
function testWith(
  shared: TestZooKeeper | undefined,
  name: string,
  body: (
    candidate: (name: string, sessionMs?: number) => Candidate,
    server: TestZooKeeper,
    root: string,
  ) => Promise<void>,
): void {
  Deno.test(`ZooKeeperCoordinator ${name}`, async () => {
    const server = shared ?? await TestZooKeeper.start();
    const root = `/test${roots++}/deep`;
    const candidates: Candidate[] = [];
    try {
      await body(
        (name, sessionMs) => {
          candidates.push(new Candidate(name, server.address, root, sessionMs));
          return candidates.at(-1)!;
        },
        server,
        root,
      );
    } finally {
      await Promise.all(candidates.map(({ store }) => store.close()));
      if (shared === undefined) await server.destroy();
    }
  });
}

function registerHandOver(shared: TestZooKeeper): void {
  testWith(shared, "hands over at once when the leader closes", async (candidate) => {
    // With a session of 30 s a hand-over within the limit can only come from the close.
    const first = candidate("h:1", 30_000);
    const epoch = await first.leads();
    await first.store.multi([create("/a", "1")], epoch);
    const second = candidate("h:2", 30_000);
    await second.follows("h:1");
    const third = candidate("h:3", 30_000);
    await third.follows("h:1");
    assert.equal(second.store.leaderUntil(), -Infinity);
    await first.store.close();
    assert.equal(first.store.leaderUntil(), -Infinity);
    assert.ok(await second.leads() > epoch);
    assert.equal(await text(second.store, "/a"), "1");
    await third.follows("h:2");
    assert.equal(first.events.length, 1, "A closed coordinator reports nothing");
  });

  testWith(shared, "passes the leadership over a candidate that left", async (candidate) => {
    const first = candidate("h:1", 30_000);
    await first.leads();
    const second = candidate("h:2", 30_000);
    await second.follows("h:1");
    const third = candidate("h:3", 30_000);
    await third.follows("h:1");
    await second.store.close();
    await first.store.close();
    await third.leads();
  });

  testWith(shared, "takes the place of its own last process", async (candidate, server, root) => {
    const crashed = rawClient(server.address);
    for (const path of [root.replace(/\/deep$/, ""), root, `${root}/lock`]) {
      await crashed.create(path, utf8(""), false);
    }
    await crashed.create(`${root}/lock/candidate-`, utf8("h:1"), true);
    const other = candidate("h:2", 30_000);
    await other.follows("h:1");
    const restarted = candidate("h:1", 30_000);
    await other.leads();
    await restarted.follows("h:2");
    await crashed.end("done");
  });
}

/** Takes the place of whoever leads away. */
async function removeFirst(admin: ZkClient, root: string): Promise<void> {
  const number = (name: string) => Number(name.slice(name.lastIndexOf("-") + 1));
  const queue = await admin.children(`${root}/lock`);
  const [first] = queue.toSorted((x, y) => number(x) - number(y));
  await admin.remove(`${root}/lock/${first}`);
}

function registerWrites(shared: TestZooKeeper): void {
  testWith(shared, "refuses a late write of an old leader", async (candidate, server, root) => {
    const old = candidate("h:1", 30_000);
    const oldEpoch = await old.leads();
    await old.store.multi([create("/a", "old")], oldEpoch);
    const next = candidate("h:2", 30_000);
    await next.follows("h:1");
    // The old leader's place is taken away without its knowledge: it still believes.
    const admin = rawClient(server.address);
    await removeFirst(admin, root);
    const epoch = await next.leads();
    assert.equal(epoch, oldEpoch + 1);
    assert.equal(old.epoch, oldEpoch);
    const late: StoreOp[] = [set("/a", "late", 0)];
    await assert.rejects(old.store.multi(late, oldEpoch), { kind: "notLeader" });
    // It heard that it lost before it heard that the write was refused.
    assert.equal(old.events.at(-1)?.kind, "lost");
    assert.equal(old.store.leaderUntil(), -Infinity);
    assert.deepEqual(await next.store.get("/a"), { path: "/a", value: utf8("old"), version: 0 });
    await next.store.multi([set("/a", "new", 0)], epoch);
    await old.follows("h:2");
    await admin.end("done");
  });

  testWith(shared, "notices that its place was taken away", async (candidate, server, root) => {
    const leader = candidate("h:1");
    const epoch = await leader.leads();
    const admin = rawClient(server.address);
    await removeFirst(admin, root);
    await leader.until(() => leader.events.some(({ kind }) => kind === "lost"));
    assert.ok(await leader.leads() > epoch);
    await admin.end("done");
  });

  testWith(shared, "holds version 0 against a changed node", async (candidate) => {
    const leader = candidate("h:1");
    const { store } = leader;
    const epoch = await leader.leads();
    await store.multi([create("/a", "0")], epoch);
    await store.multi([set("/a", "1", 0)], epoch);
    for (
      const op of [
        set("/a", "2", 0),
        { op: "check", path: "/a", version: 0 },
        { op: "delete", path: "/a", version: 0 },
      ] as const
    ) {
      await assert.rejects(store.multi([op], epoch), { kind: "badVersion" }, op.op);
    }
    assert.equal(await text(store, "/a"), "1");
  });
}

function registerLimits(shared: TestZooKeeper): void {
  testWith(shared, "ends a reign when a newer campaign begins", async (candidate) => {
    const leader = candidate("h:1");
    const epoch = await leader.leads();
    // One session has ended and the next is not there yet: a read waits for it.
    const [next, node] = await Promise.all([elected(leader.store), leader.store.get("/none")]);
    assert.ok(next > epoch && node === undefined);
    assert.equal(leader.events.at(-1)?.kind, "lost");
    await assert.rejects(leader.store.multi([create("/a")], epoch), { kind: "notLeader" });
  });

  testWith(shared, "refuses what ZooKeeper cannot store and goes on", async (candidate) => {
    const leader = candidate("h:1");
    const epoch = await leader.leads();
    const big: StoreOp = { op: "create", path: "/big", value: new Uint8Array(1_000_000) };
    await assert.rejects(leader.store.multi([big], epoch), { kind: "refused" });
    await assert.rejects(leader.store.multi([create("/a\0b")], epoch), { kind: "refused" });
    const fits: StoreOp = { op: "create", path: "/big", value: new Uint8Array(999_000).fill(7) };
    await leader.store.multi([fits], epoch);
    assert.deepEqual((await leader.store.get("/big"))?.value, fits.value);
    assert.equal(leader.events.length, 1);
  });
}

function registerFaults(): void {
  testWith(undefined, "gives up before a frozen store can elect", async (candidate, server) => {
    const leader = candidate("h:1");
    const epoch = await leader.leads();
    await leader.store.multi([create("/a", "1")], epoch);
    await server.freeze();
    const frozenAt = performance.now();
    const lateWrite = leader.store.multi([set("/a", "2", 0)], epoch);
    const outcome = assert.rejects(lateWrite, { kind: "unknown" });
    const promised = leader.store.leaderUntil();
    await leader.until(() => leader.events.at(-1)?.kind === "lost");
    const lostAt = leader.heardAt.at(-1)!;
    // The store counts a session's time from a word it got, and it got none after it was frozen. A third is kept
    // for what an ensemble's leader does not know yet; 1 ms for rounding.
    assert.ok(
      promised <= frozenAt + SESSION_MS * 2 / 3 + 1,
      `Promised ${promised - frozenAt} ms after the freeze`,
    );
    assert.ok(lostAt < frozenAt + SESSION_MS, `Lost ${lostAt - frozenAt} ms after the freeze`);
    assert.ok(lostAt >= promised);
    assert.equal(leader.store.leaderUntil(), -Infinity);
    await outcome;
    await assert.rejects(leader.store.get("/a"), { kind: "unknown" });
    server.thaw();
    const next = await leader.leads();
    assert.ok(next > epoch);
    // The write was on its way when the server froze: read again, it is there or it is not, and stays so.
    const node = (await leader.store.get("/a"))!;
    assert.ok(["1 0", "2 1"].includes(`${fromUtf8(node.value)} ${node.version}`));
    await leader.store.multi([set("/a", "3", node.version)], next);
    assert.equal(await text(leader.store, "/a"), "3");
  });

  testWith(undefined, "keeps its reign over a short silence", async (candidate, server) => {
    const leader = candidate("h:1", 6000);
    const epoch = await leader.leads();
    const before = leader.store.leaderUntil();
    await server.freeze();
    const write = leader.store.multi([create("/a", "1")], epoch);
    const settled = await Promise.race([
      write,
      new Promise((resolve) => setTimeout(resolve, 1500)),
    ]);
    assert.equal(settled, undefined, "A frozen server answered");
    server.thaw();
    await write;
    await leader.until(() => leader.store.leaderUntil() > before);
    assert.deepEqual(leader.events, [{ kind: "elected", epoch }]);
  });
}

function registerRestarts(): void {
  testWith(
    undefined,
    "goes on in its reign when the server restarts",
    async (candidate, server) => {
      const leader = candidate("h:1", 12_000);
      const epoch = await leader.leads();
      await leader.store.multi([create("/a", "1")], epoch);
      const follower = candidate("h:2", 12_000);
      await follower.follows("h:1");
      await server.kill();
      const cut = leader.store.multi([set("/a", "2", 0)], epoch).then(
        () => "done",
        (error) => error.kind,
      );
      await server.start();
      // Not yet sent, it is sent when the connection is back; sent and cut off, nobody knows.
      const outcome = await cut;
      assert.ok(["done", "unknown"].includes(outcome), outcome);
      const node = (await leader.store.get("/a"))!;
      await leader.store.multi([set("/a", "3", node.version)], epoch);
      assert.equal(await text(leader.store, "/a"), "3");
      assert.deepEqual(leader.events, [{ kind: "elected", epoch }]);
      await leader.store.close();
      assert.ok(await follower.leads() > epoch);
      assert.equal(await text(follower.store, "/a"), "3");
    },
  );

  testWith(undefined, "campaigns again after an outage", async (candidate, server) => {
    const leader = candidate("h:1");
    const epoch = await leader.leads();
    await leader.store.multi([create("/a", "1")], epoch);
    await server.kill();
    await leader.until(() => leader.events.at(-1)?.kind === "lost");
    await assert.rejects(leader.store.multi([set("/a", "2", 0)], epoch), { kind: "notLeader" });
    const early = candidate("h:2");
    await server.start();
    const both = [leader, early];
    await leader.until(() => both.some((one) => one.epoch > epoch));
    const next = both.find((one) => one.epoch > epoch)!;
    await next.store.multi([set("/a", "2", 0)], next.epoch);
    assert.equal(await text(next.store, "/a"), "2");
  });
}

Deno.test("ZooKeeperCoordinator refuses an address that is none", () => {
  for (
    const [address, why] of [
      ["zookeeper:/h:1/r", /does not start with/],
      ["zookeeper://h:1", /no root/],
      ["zookeeper://h:1/", /no root/],
      ["zookeeper://h/r", /"h" is no HOST:PORT/],
      ["zookeeper://h:1,/r", /"" is no HOST:PORT/],
      ["zookeeper://h:70000/r", /no HOST:PORT/],
      ["zookeeper://h:1/zookeeper/x", /reserves/],
      ["zookeeper://h:1/a/../b", /reserves/],
    ] as const
  ) {
    assert.throws(() => new ZooKeeperCoordinator({ address }), why, address);
  }
});

const lacking = zooKeeperMissing();
if (lacking === undefined) {
  const shared = await TestZooKeeper.start();
  globalThis.addEventListener("unload", () => shared.destroyNow());
  register(shared);
} else {
  Deno.test("ZooKeeperCoordinator is tested where ZooKeeper is installed", () => missing(lacking));
}
