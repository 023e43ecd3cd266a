// The parts of a server that know its data directories: placement, reports, probes, moves.

import assert from "node:assert/strict";
import { FilesError } from "../../../src/base/files.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { SILENT } from "../../../src/observe/logger.ts";
import type { PeerMessage } from "../../../src/schema/replica_rpc.ts";
import type { ReplicaReport } from "../../../src/schema/types.ts";
import { DiskMoves } from "../../../roles/replica/disk_moves.ts";
import { describeDisks, totalSpace } from "../../../roles/replica/disk_report.ts";
import { DiskSet } from "../../../roles/replica/disk_set.ts";
import { DiskWatch } from "../../../roles/replica/disk_watch.ts";
import type { ReplicaDriver } from "../../../roles/replica/replica_driver.ts";
import type { ReplicaShelf } from "../../../roles/replica/replica_shelf.ts";
import { DataDirs } from "../../../storage/data_dir.ts";
import { MemoryFiles } from "../../sim/memory_files.ts";

const DIRS = [{ tag: "a", path: "/a" }, { tag: "b", path: "/b" }];
const P = partitionId(1, 3);

Deno.test("DiskSet gives a new replica to the disk with most room per replica", () => {
  const free: Record<string, number> = { "/a": 1000, "/b": 500 };
  const space = (path: string) => ({ totalBytes: 10_000, freeBytes: free[path]! });
  const disks = new DiskSet({ files: new MemoryFiles(), dirs: DIRS, reserveBytes: 300, space });
  const counts = () => [disks.count("a"), disks.count("b")];
  for (let index = 0; index < 6; index++) {
    const partition = partitionId(1, index);
    disks.put(partition, disks.choose(partition).path);
  }
  assert.deepEqual(counts(), [4, 2]);
  free["/a"] = 200;
  assert.equal(disks.choose(partitionId(2, 0)).tag, "b", "a is nearly full");
  free["/b"] = 200;
  assert.throws(
    () => disks.choose(partitionId(2, 0)),
    (error: FilesError) => error.kind === "noSpace",
  );
  free["/a"] = free["/b"] = 5000;
  assert.equal(disks.drop("a").length, 4);
  assert.deepEqual([counts(), disks.choose(partitionId(2, 0)).tag], [[0, 2], "b"]);
});

Deno.test("DiskSet never places a replica beside what is left of another", () => {
  const files = new MemoryFiles();
  files.makeDir("/a/replicas/1.3");
  const disks = new DiskSet({ files, dirs: DIRS, reserveBytes: 0 });
  assert.equal(disks.choose(P).tag, "b");
});

Deno.test("describeDisks() tells every directory, and one disk counts once", () => {
  const report = (disk: string, status: ReplicaReport["status"]) =>
    ({ disk, status }) as ReplicaReport;
  const bad = [{ tag: "c", path: "/c", reason: "gone" }];
  const space = () => ({ totalBytes: 1000, freeBytes: 50 });
  const rows = describeDisks({ good: DIRS, bad, reserveBytes: 200, space }, [
    report("a", "primary"),
    report("a", "secondary"),
    report("b", "inactive"),
  ]);
  assert.deepEqual(
    rows.map(({ tag, state, replicas, primaries }) => [tag, state, replicas, primaries]),
    [
      ["a", "low", 2, 1],
      ["b", "low", 1, 0],
      ["c", "bad", 0, 0],
    ],
  );
  assert.deepEqual(totalSpace(rows, () => "sda"), { totalBytes: 1000, freeBytes: 50 });
  assert.deepEqual(totalSpace(rows, (path) => path), { totalBytes: 2000, freeBytes: 100 });
});

Deno.test("DiskWatch leaves a directory that fails, but never a full one or the last", async () => {
  const files = new MemoryFiles();
  const dirs = await DataDirs.open(files, DIRS, { logDir: "", nowSeconds: 0 });
  const lost: string[] = [];
  const watch = new DiskWatch({ files, dirs, logger: SILENT, onLost: ({ tag }) => lost.push(tag) });
  const look = async (tag: string) => {
    watch.suspect(tag);
    await watch.stop();
  };
  await look("b");
  files.fault = (operation) => {
    if (operation === "write") throw new FilesError("noSpace", "full");
  };
  await look("b");
  assert.deepEqual(lost, []);
  files.fault = (_operation, path) => {
    if (path.startsWith("/b")) throw new FilesError("io", "broken");
  };
  await look("b");
  assert.deepEqual([lost, dirs.bad.map(({ reason }) => reason)], [["b"], ["broken"]]);
  files.fault = () => {};
  files.remove("/a/node");
  await look("a");
  assert.deepEqual([lost, dirs.good.length], [["b"], 1]);
});

/** One replica on disk a. */
function moving(status: string, ballot: number, transient = false) {
  const core = { status, ballot, transient };
  const driver = { partition: P, core } as unknown as ReplicaDriver;
  const moves: string[] = [];
  const shelf = {
    drivers: new Map([[P, driver]]),
    stores: {
      locate: () => "a",
      refusal: (_p: number, tag: string) => tag === "b" ? undefined : "No",
    },
    move: (_partition: number, tag: string) => moves.push(tag) > 0,
    intercepts: (_driver: ReplicaDriver, _message: PeerMessage): boolean => false,
  };
  const clock = { now: () => ({ mono: now, wall: now }) };
  const starter = new DiskMoves(shelf as unknown as ReplicaShelf, clock);
  const check = (role: string, at: number) =>
    shelf.intercepts(
      driver,
      { kind: "groupCheck", body: { role, ballot: at } } as unknown as PeerMessage,
    );
  return { starter, core, moves, check };
}
let now = 0;

Deno.test("DiskMoves close a replica only when it has left its group", () => {
  const { starter, core, moves, check } = moving("secondary", 9);
  assert.throws(() => starter.start(["1.3"]), /Expected a partition and a disk/);
  assert.throws(() => starter.start(["1.3", "x"]), /No/);
  assert.match(starter.start(["1.3", "a"]), /is on a/);
  assert.equal(check("learner", 10), false, "nobody asked for a move");
  assert.match(starter.start(["1.3", "b"]), /^waits/);
  starter.tick();
  assert.equal(check("secondary", 10), false);
  assert.equal(check("learner", 8), false, "an old word");
  assert.deepEqual(moves, []);
  // The prepare of the new ballot came first.
  core.ballot = 10;
  assert.equal(check("learner", 10), true);
  assert.deepEqual(moves, ["b"]);
  assert.equal(check("learner", 11), false, "once");
});

Deno.test("DiskMoves take what is idle at once, refuse primaries, and give up in time", () => {
  const idle = moving("inactive", 1);
  assert.match(idle.starter.start(["1.3", "b"]), /moves to b/);
  assert.throws(() => moving("primary", 1).starter.start(["1.3", "b"]), /primary here/);
  const late = moving("secondary", 1);
  late.starter.start(["1.3", "b"]);
  now += 61_000;
  late.starter.tick();
  late.core.status = "inactive";
  late.starter.tick();
  assert.deepEqual(late.moves, []);
});

Deno.test("DiskMoves take a member that waits for meta's word for a member", () => {
  const { starter, core, moves } = moving("inactive", 9, true);
  assert.match(starter.start(["1.3", "b"]), /^waits/);
  starter.tick();
  core.status = "primary";
  core.transient = false;
  starter.tick();
  assert.deepEqual(moves, [], "Meta has answered, and it leads on");
  core.status = "inactive";
  starter.tick();
  assert.deepEqual(moves, ["b"]);
});
