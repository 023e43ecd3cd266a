// The shell's questions to every server, against the fake cluster.

import assert from "node:assert/strict";
import { Err, StoreError } from "../../../src/base/errors.ts";
import type { Rpc } from "../../../src/schema/rpc.ts";
import { FakeCluster } from "../client/fake_cluster.ts";
import { runOn } from "./fake_shell.ts";

/** A cluster whose server n2 does not answer. */
class InformedCluster extends FakeCluster {
  override call<Q, A>(address: string, rpc: Rpc<Q, A>, request: Q, timeoutMs: number): Promise<A> {
    if (rpc.name !== "server_info") return super.call(address, rpc, request, timeoutMs);
    if (address === "n2:1") return Promise.reject(new StoreError(Err.CONNECT_FAILED, "Refused"));
    const role = address.startsWith("m") ? "meta" : "replica";
    const info = { role, version: "1.2.3", startedAt: 1000, shardCount: 1, httpPort: 8 };
    return Promise.resolve(info as A);
  }
}

async function run(text: string): Promise<[status: number, rows: Record<string, unknown>[]]> {
  const [status, out] = await runOn(new InformedCluster(), "--json", "-e", text);
  return [status, JSON.parse(out)];
}

Deno.test("server_info tells every server, and which ones do not answer", async () => {
  const [status, rows] = await run("server_info");
  assert.equal(status, 1, "one is silent");
  assert.deepEqual(rows.map(({ address }) => address), ["m1:1", "m2:1", "n1:1", "n2:1", "n3:1"]);
  assert.deepEqual(rows[2], {
    address: "n1:1",
    role: "replica",
    version: "1.2.3",
    started: "1970-01-01T00:00:01.000Z",
    shards: 1,
    http_port: 8,
    error: "",
  });
  assert.match(String(rows[3]!["error"]), /Refused/);
});

Deno.test("server_info asks only the servers that are wanted", async () => {
  const addresses = async (text: string) => {
    const [status, rows] = await run(text);
    return [status, ...rows.map(({ address }) => address)];
  };
  assert.deepEqual(await addresses("server_info -t meta-server"), [0, "m1:1", "m2:1"]);
  assert.deepEqual(await addresses("server_info -l n1:1,m1:1"), [0, "n1:1", "m1:1"]);
  assert.deepEqual(await addresses("server_info -l n1:1,m1:1 -t replica-server"), [0, "n1:1"]);
});
