// A meta server over real sockets: requests, beacons and proposals of scripted replica servers,
// restarts on the same store, a store that fails.

import assert from "node:assert/strict";
import { Err, type StoreError } from "../../../src/base/errors.ts";
import { FilesError } from "../../../src/base/files.ts";
import { EmbeddedCoordinator } from "../../../src/coordination/embedded.ts";
import { SILENT } from "../../../src/observe/logger.ts";
import { nextConfig } from "../../../src/placement/config_change.ts";
import { META_DEFAULTS, type MetaSettings } from "../../../src/placement/io.ts";
import { TcpRpcClient } from "../../../src/rpc/rpc_client.ts";
import { TcpRpcServer } from "../../../src/rpc/rpc_server.ts";
import { ServerInfo } from "../../../src/schema/client_rpc.ts";
import {
  Beacon,
  ConfigProposal,
  CreateTable,
  ListTables,
  QueryConfig,
  RemoteCommand,
  UpdateConfig,
} from "../../../src/schema/meta_rpc.ts";
import { type RunningMeta, startMeta } from "../../../roles/meta/main_meta.ts";
import { MemoryFiles } from "../../sim/memory_files.ts";

const CLUSTER = "test";
const QUICK: MetaSettings = {
  ...META_DEFAULTS,
  leaseMs: 900,
  graceMs: 1000,
  failureCheckMs: 100,
  cureIntervalMs: 100,
};

async function meta(
  files: MemoryFiles,
  onFatal: (reason: string) => void = () => {},
): Promise<RunningMeta> {
  return await startMeta({
    listen: "127.0.0.1:0",
    cluster: CLUSTER,
    coordinator: await EmbeddedCoordinator.open({ files, dir: "/meta" }),
    settings: QUICK,
    openServer: () => new TcpRpcServer({ identity: { cluster: CLUSTER, node: "", role: "meta" } }),
    openClient: (node) => new TcpRpcClient({ identity: { cluster: CLUSTER, node, role: "meta" } }),
    version: "1.2.3",
    logger: SILENT,
    onFatal,
  });
}

/** A replica server that sends beacons and asks for what it is proposed. */
class ScriptedServer {
  readonly client = new TcpRpcClient({ identity: { cluster: CLUSTER, node: "", role: "replica" } });
  readonly #server = new TcpRpcServer({
    identity: { cluster: CLUSTER, node: "", role: "replica" },
  });
  #timer: ReturnType<typeof setInterval> | undefined;
  meta = "";

  async start(metaAddress: string): Promise<void> {
    this.meta = metaAddress;
    const node = await this.#server.listen("127.0.0.1:0");
    this.#server.handle(ConfigProposal, ({ change, node: about, config }) => {
      const isAdd = change === "ADD_SECONDARY";
      const asked = isAdd ? "UPGRADE_TO_SECONDARY" : change;
      const next = nextConfig(config, asked, about);
      if (next === undefined) return;
      const body = {
        change: asked,
        node: about,
        from: node,
        incarnation: 1,
        config: next,
      } as const;
      this.client.start(this.meta, UpdateConfig, body, 1000, () => {});
    });
    const beacon = () => {
      const sentAt = Math.floor(performance.now());
      const port = Number(node.split(":")[1]);
      const rest = {
        shardPorts: [port],
        httpPort: 0,
        labels: new Map<string, string>(),
        store: "",
        leaseMs: 0,
      };
      this.client.start(
        this.meta,
        Beacon,
        { node, incarnation: 1, sentAt, ...rest },
        500,
        () => {},
      );
    };
    beacon();
    this.#timer = setInterval(beacon, 100);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.client.close();
    await this.#server.close(0);
  }
}

/** Repeats until `check` gives something. */
async function until<T>(what: string, check: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + 10_000;
  while (performance.now() < deadline) {
    const value = await check();
    if (value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`Not within 10 s: ${what}`);
}

async function cluster(
  files: MemoryFiles,
  body: (c: {
    server: RunningMeta;
    nodes: ScriptedServer[];
    client: TcpRpcClient;
  }) => Promise<void>,
): Promise<void> {
  const server = await meta(files);
  const nodes = [new ScriptedServer(), new ScriptedServer(), new ScriptedServer()];
  const client = new TcpRpcClient({ identity: { cluster: CLUSTER, node: "", role: "client" } });
  try {
    for (const node of nodes) await node.start(server.address);
    await body({ server, nodes, client });
  } finally {
    for (const node of nodes) await node.stop();
    await client.close();
    await server.close();
  }
}

const TABLE = {
  name: "temp",
  partitionCount: 4,
  maxReplicaCount: 3,
  envs: new Map<string, string>(),
  successIfExists: true,
};

/** Makes the table as soon as three servers are alive. */
function createTable(client: TcpRpcClient, address: string): Promise<number> {
  return until(
    "the table is made",
    () =>
      client.call(address, CreateTable, TABLE, 2000).then(({ tableId }) => tableId, (error) => {
        if (
          error.code === Err.INVALID_ARGUMENT || error.code === Err.SERVICE_NOT_ACTIVE
        ) return undefined;
        throw error;
      }),
  );
}

function healthy(client: TcpRpcClient, address: string, count: number): Promise<true> {
  return until(`${count} partitions are healthy`, async () => {
    const { health } = await client.call(address, ListTables, { status: undefined }, 2000)
      .catch((error: StoreError) => {
        if (error.code === Err.SERVICE_NOT_ACTIVE || error.code === Err.FORWARD_TO_OTHERS) {
          return { health: [] };
        }
        throw error;
      });
    return health[0]?.healthy === count ? true : undefined;
  });
}

Deno.test("Meta server makes a table, its partitions become healthy, and survive its restart", async () => {
  const files = new MemoryFiles();
  let before: unknown;
  await cluster(files, async ({ server, nodes, client }) => {
    const tableId = await createTable(client, server.address);
    assert.equal(tableId, 1);
    await healthy(client, server.address, 4);
    const query = { table: "temp", indices: [] };
    const route = await client.call(server.address, QueryConfig, query, 2000);
    before = route.partitions;
    assert.equal(route.nodes.length, 3);
    assert.deepEqual(
      await client.call(server.address, ServerInfo, {}, 1000).then((i) => i.version),
      "1.2.3",
    );

    await server.close();
    const again = await meta(files);
    try {
      for (const node of nodes) node.meta = again.address;
      await healthy(client, again.address, 4);
      const after = await client.call(again.address, QueryConfig, query, 2000);
      assert.deepEqual(after.partitions, before);
    } finally {
      await again.close();
    }
  });
});

Deno.test("Meta server fails over when a server falls silent", async () => {
  await cluster(new MemoryFiles(), async ({ server, nodes, client }) => {
    await createTable(client, server.address);
    await healthy(client, server.address, 4);
    await nodes[0]!.stop();
    const route = await until("every partition has two members", async () => {
      const query = { table: "temp", indices: [] };
      const answer = await client.call(server.address, QueryConfig, query, 2000);
      const done = answer.partitions.every(({ primary, secondaries }) =>
        primary !== "" && secondaries.length === 1
      );
      return done ? answer : undefined;
    });
    assert.equal(route.nodes.length, 2);
  });
});

Deno.test("Meta server answers commands and refuses unknown ones", async () => {
  await cluster(new MemoryFiles(), async ({ server, client }) => {
    await createTable(client, server.address);
    const run = (command: string) =>
      client.call(server.address, RemoteCommand, { command, args: [] }, 1000);
    assert.equal((await run("server-state")).output, "leading");
    assert.match((await run("help")).output, /proposals/);
    await assert.rejects(run("nonsense"), { code: Err.INVALID_ARGUMENT });
  });
});

Deno.test("Meta server whose store fails refuses everything and asks to be ended", async () => {
  const files = new MemoryFiles();
  let fatal = "";
  const server = await meta(files, (reason) => fatal = reason);
  const client = new TcpRpcClient({ identity: { cluster: CLUSTER, node: "", role: "client" } });
  const node = new ScriptedServer();
  try {
    await node.start(server.address);
    const small = { ...TABLE, maxReplicaCount: 1 };
    await until(
      "a table is made",
      () =>
        client.call(server.address, CreateTable, small, 2000).catch((error) => {
          if (
            error.code !== Err.INVALID_ARGUMENT && error.code !== Err.SERVICE_NOT_ACTIVE
          ) throw error;
          return undefined;
        }),
    );
    files.fault = (operation) => {
      if (operation === "sync") throw new FilesError("io", "Cannot sync: injected");
    };
    const other = client.call(server.address, CreateTable, { ...small, name: "other" }, 2000);
    await assert.rejects(other, { code: Err.OUTCOME_UNKNOWN });
    await until("the server gives up", async () => fatal === "" ? undefined : fatal);
    assert.match(fatal, /injected/);
    const query = client.call(server.address, QueryConfig, { table: "temp", indices: [] }, 2000);
    await assert.rejects(query, { code: Err.FORWARD_TO_OTHERS });
  } finally {
    await node.stop();
    await client.close();
    await server.close();
  }
});
