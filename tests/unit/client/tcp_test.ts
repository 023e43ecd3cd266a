// The client over real sockets on loopback: frames, lost connections, a closed client.

import assert from "node:assert/strict";
import { fromUtf8 } from "../../../src/base/bytes.ts";
import { Err, StoreError } from "../../../src/base/errors.ts";
import { Cluster } from "../../../src/client/cluster.ts";
import { TcpRpcClient } from "../../../src/rpc/rpc_client.ts";
import { TcpRpcServer } from "../../../src/rpc/rpc_server.ts";
import { RPC_BY_CODE } from "../../../src/schema/registry.ts";
import { FakeCluster } from "./fake_cluster.ts";

/** Serves the fake cluster, one listener per address. */
async function serve(fake: FakeCluster) {
  const dialMap = new Map<string, string>();
  const servers = new Map<string, TcpRpcServer>();
  for (const address of ["m1:1", "n1:1", "n2:1", "n3:1"]) {
    const server = new TcpRpcServer({ identity: { cluster: "c", node: address, role: "replica" } });
    for (const rpc of RPC_BY_CODE.values()) {
      if (rpc.code < 100 || (rpc.code >= 200 && rpc.code < 300)) continue;
      server.handle(rpc, (request, call) => {
        fake.start(address, rpc, request, 0, (code, response, detail) => {
          if (code === Err.OK) call.reply(response);
          else call.fail(code, detail);
        });
      });
    }
    dialMap.set(address, await server.listen("127.0.0.1:0"));
    servers.set(address, server);
  }
  const identity = { cluster: "c", node: "", role: "client" };
  const cluster = new Cluster(new TcpRpcClient({ identity, dialMap }), { meta: ["m1:1"] });
  const close = async () => {
    await cluster.close();
    for (const server of servers.values()) await server.close(0);
  };
  return { cluster, servers, close };
}

Deno.test("Cluster works over sockets and follows a primary whose server goes away", async () => {
  const fake = new FakeCluster();
  const { cluster, servers, close } = await serve(fake);
  try {
    await cluster.admin.createTable("t", { partitionCount: 4 });
    const table = cluster.table("t");
    const names = Array.from({ length: 300 }, (_, i) => `k${i}`);
    await Promise.all(names.map((name) => table.set(name, "s", name.repeat(10))));
    const values = await Promise.all(names.map((name) => table.get(name, "s")));
    assert.deepEqual(values.map((v) => fromUtf8(v!)), names.map((name) => name.repeat(10)));
    await servers.get("n1:1")!.close(0);
    for (const p of fake.table("t")!.partitions) {
      p.primary = "n2:1";
      p.ballot++;
    }
    assert.equal(await table.incr("k1", "n"), 1n);
    assert.equal(await table.fullScan({ batchSize: 7 }).count(), 301);
    let seen = 0;
    for await (const _ of table.fullScan({ batchSize: 7 })) seen++;
    assert.equal(seen, 301);
  } finally {
    await close();
  }
});

Deno.test("Cluster reports a cluster that is not there as not done", async () => {
  const identity = { cluster: "c", node: "", role: "client" };
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = `127.0.0.1:${(listener.addr as Deno.NetAddr).port}`;
  listener.close();
  const options = { meta: [address], timeoutMs: 300 };
  const cluster = new Cluster(new TcpRpcClient({ identity }), options);
  const error = await cluster.table("t").set("h", "s", "v").catch((e: unknown) => e);
  assert.ok(error instanceof StoreError);
  assert.equal(error.outcome, "not done");
  assert.ok(error.code === Err.CONNECT_FAILED || error.code === Err.CANCELLED, `${error.code}`);
  await cluster.close();
});
