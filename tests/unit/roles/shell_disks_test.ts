// The shell's commands on data directories, against a fake server with two of them.

import assert from "node:assert/strict";
import * as fc from "fast-check";
import { evenOut } from "../../../roles/shell/commands/disks.ts";
import type { ShellIo } from "../../../roles/shell/io.ts";
import { runShell } from "../../../roles/shell/main_shell.ts";
import { Err, StoreError } from "../../../src/base/errors.ts";
import { formatPartition } from "../../../src/base/ids.ts";
import { Cluster } from "../../../src/client/cluster.ts";
import type { CallDone } from "../../../src/rpc/contract.ts";
import type { Rpc } from "../../../src/schema/rpc.ts";
import { FakeCluster } from "../client/fake_cluster.ts";

/** n1 has replicas of table 1 on data1; one that leaves its group is on the other disk at the next look. */
class DiskCluster extends FakeCluster {
  readonly replicas = [0, 1, 2, 3].map((index) => ({
    partition: `1.${index}`,
    status: index === 0 ? "primary" : "secondary",
    disk: "data1",
    bytes: 1024,
  }));
  readonly wanted = new Map<string, string>();

  override start<Q, A>(
    address: string,
    rpc: Rpc<Q, A>,
    request: Q,
    timeoutMs: number,
    done: CallDone<A>,
  ): void {
    // deno-lint-ignore no-explicit-any
    const asked = request as any;
    if (rpc.name === "remote_command") {
      try {
        return done(Err.OK, { output: this.#run(asked) } as A, "");
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        return done(error.code, undefined, error.detail);
      }
    }
    if (rpc.name === "propose") {
      const replica = this.replicas.find((r) => r.partition === formatPartition(asked.partition))!;
      assert.equal(asked.change, "DOWNGRADE_TO_INACTIVE");
      replica.disk = this.wanted.get(replica.partition)!;
    }
    super.start(address, rpc, request, timeoutMs, (code, answer, detail) => {
      // deno-lint-ignore no-explicit-any
      for (const node of (answer as any)?.nodes ?? []) node.stats = { disks: DISKS };
      done(code, answer, detail);
    });
  }

  #run({ command, args }: { command: string; args: string[] }): string {
    if (command === "disk-replicas") {
      return this.replicas.map((replica, i) => `shard ${i % 2}: ${JSON.stringify(replica)}`)
        .join("\n");
    }
    assert.equal(command, "disk-migrate");
    const replica = this.replicas.find((r) => r.partition === args[0]);
    if (replica === undefined) throw new StoreError(Err.OBJECT_NOT_FOUND, "There is no replica");
    this.wanted.set(args[0]!, args[1]!);
    return "shard 1: waits until it has left its group";
  }
}

const DISKS = [
  { tag: "data1", path: "/d1", state: "good", reason: "" },
  { tag: "data2", path: "/d2", state: "low", reason: "" },
  { tag: "data3", path: "/d3", state: "bad", reason: "it burns" },
].map((disk) => ({ ...disk, totalBytes: 1000, freeBytes: 400, replicas: 4, primaries: 1 }));

async function run(
  cluster: DiskCluster,
  command: string,
): Promise<[status: number, out: string, err: string]> {
  let [out, err] = ["", ""];
  cluster.closed = false;
  const io: ShellIo = {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    inputIsTerminal: false,
    errIsTerminal: false,
    useColour: false,
    readInput: () => Promise.resolve(""),
    openFile: () => Promise.reject(new Error("No files")),
    createFile: () => Promise.reject(new Error("No files")),
  };
  const open = (options: ConstructorParameters<typeof Cluster>[1]) => new Cluster(cluster, options);
  return [await runShell(["-e", command], { io, open }), out, err];
}

Deno.test("disk_capacity lists directories, and says why one is bad", async () => {
  const cluster = new DiskCluster();
  const [status, out, err] = await run(cluster, "disk_capacity -n n1:1");
  assert.equal(status, 1, "a script notices");
  assert.match(out, /n1:1 +data1 +good +400 B +1000 B +40 +4 +1 +\/d1/);
  assert.match(err, /n1:1 data3: it burns/);
  const rows = JSON.parse((await run(cluster, "disk_capacity -n n1:1 --json"))[1]);
  assert.deepEqual([rows.length, rows[1].state, rows[1].free], [3, "low", 400]);
  assert.match((await run(cluster, "disk_capacity -n no:1"))[2], /There is no server "no:1"/);
});

Deno.test("disk_replica and disk_migrate show and move replicas of a server", async () => {
  const cluster = new DiskCluster();
  assert.match((await run(cluster, "disk_replica -n n1:1"))[1], /n1:1 +data1 +1\.2 +secondary/);
  const [status, out] = await run(cluster, "disk_migrate 1.2 n1:1 data2");
  assert.deepEqual([status, out], [0, "OK, 1.2 is on data2\n"]);
  assert.match((await run(cluster, "disk_replica -n n1:1"))[1], /n1:1 +data2 +1\.2 +secondary/);
  assert.match((await run(cluster, "disk_migrate 9.9 n1:1 data2"))[2], /There is no replica/);
  assert.match((await run(cluster, "disk_migrate x n1:1 data2"))[2], /no partition/);
});

Deno.test("evenOut() ends with equally many, as far as secondaries allow", () => {
  const replica = fc.record({
    status: fc.constantFrom("primary", "secondary"),
    disk: fc.constantFrom("a", "b", "c", "gone"),
  });
  fc.assert(fc.property(fc.array(replica, { maxLength: 30 }), (given) => {
    const replicas = given.map((r, i) => ({ ...r, partition: `1.${i}`, bytes: 0 }));
    const disk = new Map<string, string>(replicas.map((r) => [r.partition, r.disk]));
    for (const { partition, from, to } of evenOut(["a", "b", "c"], replicas)) {
      assert.equal(disk.get(partition), from);
      disk.set(partition, to);
    }
    const count = (tag: string) => [...disk.values()].filter((at) => at === tag).length;
    const least = Math.min(...["a", "b", "c"].map(count));
    for (const tag of ["a", "b", "c"]) {
      const stays = replicas.filter((r) => disk.get(r.partition) === tag && r.disk === tag);
      const hasMovable = stays.some(({ status }) => status === "secondary");
      assert.ok(count(tag) - least <= 1 || !hasMovable, `${tag} has ${count(tag)} of ${least}`);
    }
  }));
});
