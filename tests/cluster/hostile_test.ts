// Hostile clients against a real server while others use it: nobody else notices. The attacks are in
// attacker.ts; unit tests (tests/unit/rpc/hostile_test.ts) say what exactly becomes of each of them.

import assert from "node:assert/strict";
import { openCluster } from "../../src/client/mod.ts";
import type { AttackOrder, AttackReport } from "./attacker.ts";
import { withCluster } from "./harness.ts";

/** Fewer than the attacker opens. */
const CONNECTIONS_MAX = 200;
const ATTACK_MS = 4000;

function percentile(sorted: readonly number[], part: number): string {
  return `${sorted[Math.floor((sorted.length - 1) * part)]?.toFixed(1)} ms`;
}

Deno.test("clients of a server under attack get their answers, old ones and new ones", async () => {
  const settings = {
    "rpc-connections-max": CONNECTIONS_MAX,
    "rpc-frame-timeout": "1s",
    "rpc-send-buffer-bytes-max": "1MiB",
    "log-level": "warn",
  };
  await withCluster({ replicas: 1, settings }, async (cluster) => {
    await cluster.createTable("t", 2, 1);
    await using served = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
    const table = served.table("t");
    for (let i = 0; i < 20; i++) await table.set("big", `s${i}`, new Uint8Array(50_000));
    const { partitions } = await served.admin.tableConfig("t");
    const attacker = new Worker(new URL("./attacker.ts", import.meta.url), { type: "module" });
    const order: AttackOrder = {
      address: cluster.addressOf("r1"),
      partition: partitions[0]!.partition,
    };
    attacker.postMessage(order);
    await new Promise<void>((every) => attacker.onmessage = () => every());
    const took: number[] = [];
    const began = performance.now();
    try {
      // A failure is one that the client could not repair within its 20 seconds.
      for (let i = 0; performance.now() - began < ATTACK_MS; i++) {
        const start = performance.now();
        await table.set("h", `s${i}`, `v${i}`);
        const value = await table.get("h", `s${i}`);
        assert.equal(value && new TextDecoder().decode(value), `v${i}`);
        took.push(performance.now() - start);
        if (i % 20 !== 0) continue;
        await using newcomer = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
        assert.notEqual(await newcomer.table("t").get("h", `s${i}`), undefined);
      }
    } finally {
      const report = await new Promise<AttackReport>((resolve) => {
        attacker.onmessage = ({ data }: MessageEvent<AttackReport>) => resolve(data);
        attacker.postMessage("stop");
      });
      attacker.terminate();
      took.sort((a, b) => a - b);
      console.log(
        `${took.length} times set and get, P50 ${percentile(took, 0.5)}, P99 ` +
          `${percentile(took, 0.99)} during ${JSON.stringify(report)}`,
      );
    }
    assert.ok(took.length > 0);
    assert.match(cluster.outputOf("r1"), /Too many connections wait|connections already/);
  });
});
