// The root of meta's state in ZooKeeper is deleted under running meta servers: whoever led notices, although the
// tree is made anew at once with the same numbers, and recover brings the tables back. docs/meta.md, "ZooKeeper",
// "Recovery".

import assert from "node:assert/strict";
import { waitFor } from "../../roles/onebox/processes.ts";
import { openCluster } from "../../src/client/mod.ts";
import type { CoordinatorError, LeadershipEvent } from "../../src/coordination/coordinator.ts";
import { ZooKeeperCoordinator } from "../../src/coordination/zookeeper.ts";
import { missing } from "../missing.ts";
import { TestZooKeeper, zooKeeperMissing } from "../zookeeper.ts";
import { withCluster } from "./harness.ts";

const WAIT_MS = 60_000;

/** The second tree has a first candidate and a first reign as well: the old leader must not take them for its own. */
async function sameNumbersAgain(store: TestZooKeeper): Promise<void> {
  const open = (name: string) => {
    const coordinator = new ZooKeeperCoordinator({
      address: `zookeeper://${store.address}/again`,
      sessionMs: 3000,
    });
    const events: LeadershipEvent[] = [];
    coordinator.campaign(name, (event) => events.push(event));
    const has = (kind: LeadershipEvent["kind"]) =>
      waitFor(() => events.some((event) => event.kind === kind), WAIT_MS);
    return { coordinator, has };
  };
  const first = open("h:1");
  assert.ok(await first.has("elected"));
  await store.removeTree("/again");
  const second = open("h:2");
  assert.ok(await second.has("elected"));
  const value = new Uint8Array(1);
  const late = first.coordinator.multi([{ op: "create", path: "/x", value }], 1);
  await assert.rejects(late, (error: CoordinatorError) => error.kind === "notLeader");
  assert.ok(await first.has("lost"), "Two lead");
  assert.deepEqual(await second.coordinator.multi([{ op: "create", path: "/x", value }], 1), [0]);
  await Promise.all([first.coordinator.close(), second.coordinator.close()]);
}

Deno.test("A deleted root in ZooKeeper ends the reign, and is rebuilt from the replica servers", async () => {
  const lacking = zooKeeperMissing();
  if (lacking !== undefined) return missing(lacking);
  const store = await TestZooKeeper.start();
  await sameNumbersAgain(store);
  const options = {
    metas: 3,
    replicas: 2,
    coordinator: `zookeeper://${store.address}/pegasus/test`,
    settings: { "zookeeper-session": "3s" },
  };
  try {
    await withCluster(options, async (cluster) => {
      await cluster.createTable("t", 2, 2);
      const client = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
      const { admin } = client;
      await client.table("t").set("h", "s", "v");
      await store.removeTree("/pegasus/test");
      const isSeen = async () => {
        const { details } = await admin.clusterInfo();
        return (details.get("warning")?.match(/127\.0\.0\.1/g) ?? []).length === 2;
      };
      assert.ok(await waitFor(() => isSeen().catch(() => false), WAIT_MS), "No warning");
      const { state, lines } = await admin.recover();
      assert.equal(state, "done", lines.join("\n"));
      await cluster.waitForTable("t", 2);
      const row = await client.table("t").get("h", "s");
      assert.equal(new TextDecoder().decode(row), "v");
      await client.close();
    });
  } finally {
    await store.destroy();
  }
});
