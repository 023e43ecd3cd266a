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

Deno.test("A server whose database names a file that is not there learns that replica again", async () => {
  await story(async (cluster, writer) => {
    await cluster.kill("r1");
    const replicas = `${cluster.dir}/r1/data/replicas`;
    const replica = firstEntry(replicas, /^\d+\.\d+$/);
    const database = firstEntry(`${replicas}/${replica}`, /^data\./);
    const current = `${replicas}/${replica}/${database}/CURRENT`;
    Deno.writeTextFileSync(current, "MANIFEST-009999\n");
    await cluster.start("r1");
    await cluster.waitForTable(TABLE, 3);
    firstEntry(replicas, new RegExp(`^${replica}.err[.]`));
    await writer.more(200);
  });
});

function firstEntry(dir: string, pattern: RegExp): string {
  const names = [...Deno.readDirSync(dir)].map((entry) => entry.name);
  const found = names.find((name) => pattern.test(name));
  if (found === undefined) throw new Error(`Nothing in ${names.join(", ")} matches ${pattern}`);
  return found;
}
