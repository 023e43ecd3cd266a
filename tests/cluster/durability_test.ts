// What users trust the store with: nothing acknowledged is ever lost, whichever processes die.

import { Writer } from "./writer.ts";
import { type TestCluster, withCluster } from "./harness.ts";

const TABLE = "temp";

async function story(tell: (cluster: TestCluster, writer: Writer) => Promise<void>): Promise<void> {
  await withCluster({}, async (cluster) => {
    await cluster.createTable(TABLE, 8, 3);
    const writer = await Writer.open(cluster.metas, TABLE);
    try {
      writer.start();
      await writer.more(500);
      await tell(cluster, writer);
      await writer.stop();
      await writer.verify();
    } finally {
      await writer.stop();
      await writer.close();
    }
  });
}

Deno.test("A cluster loses nothing when any one replica server is killed under load", async () => {
  await story(async (cluster, writer) => {
    for (const name of ["r1", "r2", "r3"]) {
      await cluster.kill(name);
      await writer.more(500);
      await cluster.start(name);
      await cluster.waitForTable(TABLE, 3);
      await writer.more(200);
    }
  });
});

Deno.test("A cluster loses nothing when all servers are killed at once", async () => {
  await story(async (cluster, writer) => {
    await cluster.killAll();
    await cluster.startAll();
    await writer.more(500);
    await cluster.waitForTable(TABLE, 3);
  });
});

Deno.test("Writes go on while meta is down, and meta forgets nothing", async () => {
  await story(async (cluster, writer) => {
    await cluster.kill("m1");
    await writer.more(200);
    await cluster.start("m1");
    await cluster.waitForTable(TABLE, 3);
    await writer.more(200);
    await cluster.kill("r2");
    await writer.more(500);
    await cluster.start("r2");
    await cluster.waitForTable(TABLE, 3);
  });
});

Deno.test("A server that lost its data learns it again", async () => {
  await story(async (cluster, writer) => {
    await cluster.kill("r3");
    await writer.more(300);
    Deno.removeSync(`${cluster.dir}/r3/data`, { recursive: true });
    await cluster.start("r3");
    await cluster.waitForTable(TABLE, 3);
    await cluster.kill("r1");
    await writer.more(300);
  });
});
