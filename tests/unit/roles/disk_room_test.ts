// When a disk counts as full, and who hears of it.

import assert from "node:assert/strict";
import { partitionId } from "../../../src/base/ids.ts";
import type { ReplicaEvent } from "../../../src/replication/io.ts";
import { DiskRoom, RoomTeller } from "../../../roles/replica/disk_room.ts";

const MIB = 1024 * 1024;

function room(stopBytes: number, totalBytes = 1000 * MIB) {
  const free = new Map([["/a", 500 * MIB], ["/b", 500 * MIB], ["/log", 500 * MIB]]);
  let mono = 1000;
  const made = new DiskRoom({
    dataDirs: [{ tag: "a", path: "/a" }, { tag: "b", path: "/b" }],
    logDir: "/log",
    stopBytes,
    clock: { now: () => ({ mono, wall: 0 }) },
    space: (path) => ({ totalBytes, freeBytes: free.get(path)! }),
  });
  const pass = (ms: number) => {
    mono += ms;
    return made.look();
  };
  return { room: made, free, pass };
}

Deno.test("DiskRoom is full below the bound and not before there is clearly more", () => {
  const { room: disks, free, pass } = room(20 * MIB);
  assert.equal(pass(500), false);
  free.set("/a", 19 * MIB);
  assert.equal(pass(300), false, "looks are apart");
  assert.equal(pass(200), true);
  assert.deepEqual([disks.isFull("a"), disks.isFull("b")], [true, false]);
  assert.deepEqual(disks.fullPaths, ["/a"]);
  free.set("/a", 22 * MIB);
  assert.equal(pass(500), false);
  free.set("/a", 26 * MIB);
  assert.equal(pass(500), true);
  assert.equal(disks.isFull("a"), false);
});

Deno.test("DiskRoom takes a twentieth of a small disk, and the log's disk concerns everybody", () => {
  const { room: disks, free, pass } = room(256 * MIB, 100 * MIB);
  free.set("/log", 4 * MIB);
  assert.equal(pass(500), true);
  assert.deepEqual([disks.isFull("a"), disks.isFull("b")], [true, true]);
});

Deno.test("DiskRoom believes a refused write more than the disk's own figures", () => {
  const { room: disks, pass, free } = room(0);
  pass(500);
  free.set("/b", 1 * MIB);
  disks.of("/b/replicas/1.0/data.1").refused();
  assert.equal(disks.of("/b/replicas/1.0/data.1").isFull, true);
  assert.equal(disks.of("/a/replicas/1.1/data.1").isFull, false);
  assert.equal(pass(0), true);
  assert.equal(pass(900), false);
  assert.equal(disks.isFull("b"), true);
  assert.equal(pass(500), false, "next to nothing is not room again");
  free.set("/b", 17 * MIB);
  assert.equal(pass(500), true);
  assert.equal(disks.isFull("b"), false);
});

Deno.test("RoomTeller tells each replica how its own disk stands, newcomers too", () => {
  const { room: disks, free, pass } = room(20 * MIB);
  pass(500);
  const heard: string[] = [];
  const driver = (index: number) => ({
    partition: partitionId(1, index),
    deliver: (event: ReplicaEvent) => {
      if (event.kind === "disk") heard.push(`${index} ${event.full}`);
    },
  });
  const drivers = new Map([0, 1].map((index) => [partitionId(1, index), driver(index)]));
  const lines: string[] = [];
  const log = (line: string) => void lines.push(line);
  const teller = new RoomTeller(disks, {
    drivers,
    logger: { debug: log, info: log, warn: log, error: log },
    locate: (partition) => partition === partitionId(1, 0) ? "a" : "b",
  });
  free.set("/a", 0);
  teller.refused(partitionId(1, 0));
  assert.deepEqual(heard, ["0 true", "1 false"]);
  teller.opened(driver(0));
  assert.deepEqual(heard.slice(2), ["0 true"]);
  assert.equal(teller.isFull(partitionId(1, 1)), false);
  assert.match(lines.join(), /Disk full: writes are refused/);
  const none = new RoomTeller(undefined, { drivers, locate: () => "", logger: lines as never });
  none.refused();
  assert.equal(none.isFull(partitionId(1, 0)), false);
});

Deno.test("DiskRoom looks once at a disk that several directories are on", () => {
  const looks: string[] = [];
  const disks = new DiskRoom({
    dataDirs: [{ tag: "a", path: "/a" }, { tag: "b", path: "/b" }],
    logDir: "/a/log",
    stopBytes: 20 * MIB,
    clock: { now: () => ({ mono: 1000, wall: 0 }) },
    space: (path) => {
      looks.push(path);
      return { totalBytes: 1000 * MIB, freeBytes: path === "/b" ? 500 * MIB : MIB };
    },
    device: (path) => path === "/b" ? 2 : 1,
  });
  assert.equal(disks.look(), true);
  assert.deepEqual(looks, ["/a", "/b"]);
  assert.deepEqual(disks.fullPaths, ["/a", "/a/log"]);
});
