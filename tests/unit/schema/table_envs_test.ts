// Table variables: what is let in, and what it means.

import assert from "node:assert/strict";
import { envProblem, NO_ENVS, parseTableEnvs } from "../../../src/schema/table_envs.ts";

function parse(envs: Record<string, string>) {
  return parseTableEnvs(new Map(Object.entries(envs)));
}

Deno.test("envProblem names what is wrong, and the variables that were perhaps meant", () => {
  assert.equal(envProblem("default_ttl", "3600"), undefined);
  assert.match(envProblem("default_ttl", "-1")!, /"default_ttl" is "-1": expected an integer/);
  assert.match(envProblem("replica.deny", "x")!, /Unknown.*replica\.deny_client_request/);
  assert.match(envProblem("rocksdb.num_levels", "5")!, /cannot be set: it tunes RocksDB/);
  assert.match(envProblem("manual_compact.periodic.trigger_time", "24:00")!, /times of day like/);
  assert.equal(envProblem("manual_compact.periodic.trigger_time", "3:05,23:59"), undefined);
  assert.match(envProblem("replica.slow_query_threshold", "19")!, /from 20/);
  assert.equal(envProblem("replica.rocksdb_iteration_threshold_time_ms", "0"), undefined);
});

Deno.test("envProblem takes no value that is longer than a store and an answer of meta can carry", () => {
  const times = envProblem(
    "manual_compact.periodic.trigger_time",
    "3:00,".repeat(300_000) + "3:00",
  );
  assert.match(times!, /has 1500004 characters: expected times of day/);
  assert.ok(times!.length < 300, "the value is not told back");
  const users = `ada${" ".repeat(500_000)},bob`;
  assert.match(envProblem("replica_access_controller.read_users", users)!, /at most 16384/);
  // What a list may hold fits.
  const names = Array.from({ length: 200 }, (_, i) => `u${i}`.padEnd(64, "x")).join(", ");
  assert.equal(envProblem("replica_access_controller.read_users", names), undefined);
  const day = Array.from(
    { length: 1440 },
    (_, i) => `${Math.floor(i / 60)}:${`${i % 60}`.padStart(2, "0")}`,
  );
  assert.equal(envProblem("manual_compact.periodic.trigger_time", day.join(",")), undefined);
});

Deno.test("envProblem takes a throttle with each half at most once", () => {
  const problem = (value: string) => envProblem("replica.write_throttling", value);
  for (
    const good of ["1*delay*0", "10K*reject*5", "1M*reject*5,1K*delay*5", "1*delay*1,2*reject*1"]
  ) {
    assert.equal(problem(good), undefined, good);
  }
  for (
    const bad of [
      "",
      "10",
      "1*delay*1,2*delay*1",
      "1*wait*1",
      "1G*delay*1",
      "1*delay*1,",
      "K*delay*1",
    ]
  ) {
    assert.notEqual(problem(bad), undefined, bad);
  }
});

Deno.test("parseTableEnvs reads every variable a replica acts on", () => {
  assert.deepEqual(
    parse({
      "default_ttl": "60",
      "replica.deny_client_request": "reconfig*write",
      "replica.read_throttling": "2K*delay*20,1M*reject*30",
      "replica.backup_request_throttling": "5*delay*1",
      "replica.write_throttling": "7*reject*100",
      "replica.write_throttling_by_size": "1M*delay*9",
      "replica.read_throttling_by_size": "10K",
      "replica.slow_query_threshold": "50",
      "replica.rocksdb_iteration_threshold_time_ms": "0",
      "replica_access_controller.allowed_users": "ada, bob",
      "replica_access_controller.admin_users": "bob",
      "manual_compact.once.trigger_time": "1700000000",
      "manual_compact.periodic.trigger_time": "3:00,21:30",
      "manual_compact.disabled": "true",
      "business.info": "nothing to us",
    }),
    {
      defaultTtlSeconds: 60,
      rights: { restricted: true, users: new Map([["ada", 3], ["bob", 7]]) },
      deny: { mode: "reconfig", what: "write" },
      reads: { delay: { units: 2048, ms: 20 }, reject: { units: 1024 * 1024, ms: 30 } },
      staleReads: { delay: { units: 5, ms: 1 }, reject: undefined },
      writes: { delay: undefined, reject: { units: 7, ms: 100 } },
      writeBytes: { delay: { units: 1024 * 1024, ms: 9 }, reject: undefined },
      readBytes: 10 * 1024,
      slowReadMs: 50,
      rangeTimeMs: 0,
      compaction: { disabled: true, onceAt: 1_700_000_000, minutes: [180, 1290] },
    },
  );
});

Deno.test("parseTableEnvs limits read bytes by the reject half of the long form only", () => {
  const bytes = (value: string) => parse({ "replica.read_throttling_by_size": value }).readBytes;
  assert.equal(bytes("3M"), 3 * 1024 * 1024);
  assert.equal(bytes("1K*delay*20"), 0);
  assert.equal(bytes("1K*delay*20,2K*reject*20"), 2048);
});

Deno.test("parseTableEnvs takes what it cannot read as not set", () => {
  assert.deepEqual(parse({}), NO_ENVS);
  assert.deepEqual(parse({ "default_ttl": "x", "replica.read_throttling": "1*delay" }), NO_ENVS);
});

Deno.test("envProblem takes lists of users only", () => {
  const problem = (value: string) => envProblem("replica_access_controller.read_users", value);
  for (const good of ["", "ada", "ada,bob", "ada , b.o-b@example"]) {
    assert.equal(problem(good), undefined, good);
  }
  for (const bad of ["*", "ada,", "ada bob", "@cluster", "x".repeat(65)]) {
    assert.notEqual(problem(bad), undefined, bad);
  }
});
