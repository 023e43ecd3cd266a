// The shell's commands on files, against a replica directory made by the storage layer itself.

import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { encodeKey, partitionIndexOfKey } from "../../../src/schema/key_format.ts";
import { encodeMutation } from "../../../src/schema/mutation.ts";
import { encodeBody } from "../../../src/schema/mutation_body.ts";
import { encodeValue } from "../../../src/schema/value_format.ts";
import { diskFiles } from "../../../storage/disk_files.ts";
import { openLevelEngine } from "../../../storage/level_engine.ts";
import { RecordKind } from "../../../storage/log.ts";
import { encodeBallot, RECONCILE_END_NONE } from "../../../storage/log_format.ts";
import { openPrivateLog } from "../../../storage/private_log.ts";
import { encodeChecked, ReplicaDir } from "../../../storage/replica_dir.ts";
import { appliedOp, readApplied, readSessions } from "../../../storage/apply.ts";
import { imageBallotOf } from "../../../roles/replica/stored_info.ts";
import { FakeCluster } from "../client/fake_cluster.ts";
import { runOn, type ShellRun } from "./fake_shell.ts";

const PARTITION = partitionId(1, 3);
const ROW = {
  key: encodeKey(utf8("h"), utf8("s")),
  value: encodeValue(utf8("v"), 0, 1),
};

/** A data directory with one replica: one row, a ballot record and a mutation. */
async function makeReplica(dataDir: string): Promise<ReplicaDir> {
  diskFiles.makeDir(`${dataDir}/replicas`);
  const dir = await ReplicaDir.create(diskFiles, dataDir, {
    ...{ partition: PARTITION, generation: 7, ballot: 2, durable: 1, syncedSequence: 0 },
    ...{ tableName: "users", partitionCount: 8, info: null, copies: 0 },
  });
  const engine = await openLevelEngine(dir.enginePath);
  await engine.write([{ type: "put", ...ROW }]);
  await engine.close();
  const { log } = await openPrivateLog(
    { files: diskFiles, dir: dir.logPath, generation: 7 },
    () => {},
  );
  const record = { partition: PARTITION, generation: 7, decree: 0 };
  const payload = encodeBallot(2, RECONCILE_END_NONE);
  log.append({ ...record, sequence: 1, kind: RecordKind.BALLOT, payload });
  log.append({
    ...{ ...record, decree: 1, sequence: 2, kind: RecordKind.MUTATION },
    payload: encodeMutation({
      ...{ ballot: 2, decree: 1, lastCommitted: 0, timestampUs: 1_000_000 },
      body: encodeBody([], [ROW, { key: encodeKey(utf8("h"), utf8("t")), value: undefined }]),
    }),
  });
  await log.sync();
  await log.close();
  return dir;
}

/** Damages the first segment, which is no longer the last: that is no torn end but damage, whoever asks. */
async function showsDamage(dir: ReplicaDir, segment: string, bytes: Uint8Array): Promise<void> {
  const next = segment.replace(/1$/, "2");
  const flipped = bytes.slice();
  flipped[bytes.length - 1]! ^= 1;
  Deno.writeFileSync(segment, flipped);
  Deno.writeFileSync(next, bytes);
  for (const only of ["", "-p 1.3", "-p 1.4"]) {
    const [status, out] = await run("-e", `mlog_dump ${dir.path} ${only}`);
    assert.match(out, /log\.0000000001:\d+ DAMAGED: /, only);
    assert.equal(status, 1, only);
  }
  Deno.removeSync(next);
  Deno.writeFileSync(segment, bytes);
}

function run(...args: string[]): Promise<ShellRun> {
  return runOn(new FakeCluster(), ...args);
}

Deno.test("the files of a stopped server can be looked at", async () => {
  const dataDir = Deno.makeTempDirSync({ prefix: "pegasus-offline-" });
  try {
    const dir = await makeReplica(dataDir);
    const [, listed] = await run("-e", `local_info ${dataDir}`);
    assert.match(listed, /1\.3 +users +7 +2 +1 .* in use/);
    assert.deepEqual(await run("-e", `local_get ${dir.path} h s`), [0, '"v", expires never\n', ""]);
    assert.equal((await run("-e", `local_get ${dir.enginePath} h t`))[0], 1);
    const [, rows] = await run("--json", "-e", `local_scan ${dir.path}`);
    assert.deepEqual(JSON.parse(rows), [{
      ...{ hash_key: "h", sort_key: "s", value: "v", expire_ts: 0, expires: "never" },
      expired: false,
    }]);
    assert.match((await run("-e", `sst_dump ${dir.path}`))[1], /Compactions[^]*level 0/);
    const [, log] = await run("-e", `mlog_dump ${dir.path} -d`);
    assert.match(log, /1\.3 #1 ballot 2, reconcile end none\n/);
    assert.match(log, /#2 mutation 2\.1, committed 0, 1970-01-01T00:00:01.000Z, 2 operations\n/);
    assert.match(log, /put "h" : "s" => "v", expires never\n {2}del "h" : "t"\n$/);
    assert.equal((await run("-e", `mlog_dump ${dir.path} -p 1.4`))[1], "");
    const segment = `${dir.logPath}/log.0000000001`;
    const bytes = Deno.readFileSync(segment);
    await showsDamage(dir, segment, bytes);
    bytes[bytes.length - 1]! ^= 1;
    Deno.writeFileSync(segment, bytes);
    const [, , torn] = await run("-e", `mlog_dump ${segment}`);
    assert.match(torn, /^0 records in 1 segment/, "what is not whole was never confirmed");
  } finally {
    Deno.removeSync(dataDir, { recursive: true });
  }
});

Deno.test("an engine that is open, or no engine, is refused with what to do", async () => {
  const dataDir = Deno.makeTempDirSync({ prefix: "pegasus-offline-" });
  try {
    const dir = await makeReplica(dataDir);
    const engine = await openLevelEngine(dir.enginePath);
    const [status, , err] = await run("-e", `local_get ${dir.path} h s`);
    assert.equal(status, 1);
    assert.match(err, /A server has .* open: stop it/);
    await engine.close();
    assert.match((await run("-e", `sst_dump ${dataDir}`))[2], /neither an engine .* nor/);
    assert.match((await run("-e", "mlog_dump /nowhere"))[2], /There is no file or directory/);
  } finally {
    Deno.removeSync(dataDir, { recursive: true });
  }
});

Deno.test("local_partition_split makes whole replicas of a new table, and refuses what would lose rows", async () => {
  const dataDir = Deno.makeTempDirSync({ prefix: "pegasus-offline-" });
  const split = (words: string) => run("-e", `local_partition_split ${dataDir} ${words}`);
  const setNode = (clean: boolean) =>
    Deno.writeFileSync(`${dataDir}/node`, encodeChecked({ incarnation: 1, clean }));
  try {
    const dir = await makeReplica(dataDir);
    setNode(false);
    assert.match((await split("1 9 16 many"))[2], /runs, or did not stop in order/);
    setNode(true);
    assert.match((await split("1 9 16 many"))[2], /1\.3 has mutation 1 in its log, and its engine/);
    const rows = Array.from({ length: 50 }, (_, i) => encodeKey(utf8(`h${i}`), utf8("s")))
      .filter((key) => partitionIndexOfKey(key, 8) === 3);
    const engine = await openLevelEngine(dir.enginePath);
    await engine.write([
      { type: "del", key: ROW.key },
      ...rows.map((key) => ({ type: "put" as const, key, value: ROW.value })),
      appliedOp(1),
    ]);
    await engine.close();
    assert.match((await split("1 9 20 many"))[2], /has 8 partitions: expected a multiple/);
    assert.match((await split("1 9 16 users"))[2], /needs another name/);
    assert.match((await split("2 9 16 many"))[2], /no replicas of table 2/);
    assert.equal((await split("1 0 16 many"))[0], 2);
    const made = `OK, 2 replicas with ${rows.length} rows\n`;
    assert.deepEqual(await split("1 9 16 many"), [0, made, ""]);
    assert.match((await split("1 9 16 many"))[2], /replicas of table 9 .* already/);
    for (const index of [3, 11]) {
      const { manifest, enginePath } = ReplicaDir.open(diskFiles, dataDir, partitionId(9, index));
      assert.deepEqual(
        [manifest.ballot, manifest.durable, manifest.tableName, manifest.partitionCount],
        [2, 1, "many", 16],
      );
      assert.equal(imageBallotOf(manifest.info), 2);
      const made = await openLevelEngine(enginePath);
      assert.equal(readApplied(made), 1);
      assert.equal(readSessions(made).decree, 1, "a server condemns another window");
      const held = rows.filter((key) => made.get(key) !== undefined);
      assert.deepEqual(held, rows.filter((key) => partitionIndexOfKey(key, 16) === index));
      await made.close();
    }
    assert.equal(diskFiles.exists(`${dataDir}/split.tmp`), false);
  } finally {
    Deno.removeSync(dataDir, { recursive: true });
  }
});

Deno.test("stored keys and values are translated", async () => {
  assert.equal((await run("-e", "key_to_hex h s"))[1], "00016873\n");
  assert.equal(
    (await run("-e", "rdb_key_hex2str 00016873"))[1],
    'hash_key : "h"\nsort_key : "s"\n',
  );
  const [, value] = await run("-e", "hex_to_value 000000000000000000000000414243");
  assert.equal(value, '"ABC", expires never\n');
  assert.equal((await run("-e", "hex_to_key 00ff"))[0], 2);
  assert.equal((await run("-e", "hex_to_value zz"))[0], 2);
});
