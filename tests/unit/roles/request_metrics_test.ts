// Requests become series by declared names and served tables only.

import assert from "node:assert/strict";
import { OPERATIONS, RequestMetrics } from "../../../roles/request_metrics.ts";
import { Err } from "../../../src/base/errors.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { openMetrics } from "../../../src/observe/metrics.ts";
import { Get, Put } from "../../../src/schema/client_rpc.ts";
import { Beacon } from "../../../src/schema/meta_rpc.ts";

function open(names: Record<number, string>) {
  const registry = openMetrics();
  const metrics = new RequestMetrics(registry.live.requests);
  metrics.tableName = (id) => names[id];
  const ask = (rpc: typeof Get | typeof Put | typeof Beacon, table: number, error = 0) => {
    const tag = metrics.started(rpc, { partition: partitionId(table, 3) }, 100);
    metrics.answered(tag, error, error === 0 ? 40 : 0);
    metrics.took(tag, 0.2);
  };
  const lines = async (part: string) =>
    (await registry.text()).split("\n").filter((line) => line.includes(part));
  return { metrics, ask, lines };
}

Deno.test("RequestMetrics counts data operations by operation and table", async () => {
  const { ask, lines } = open({ 1: "users", 2: "temp" });
  ask(Get, 1);
  ask(Get, 1);
  ask(Put, 1);
  ask(Get, 2);
  assert.deepEqual(await lines("_seconds_count"), [
    'pegasus_operation_seconds_count{operation="get",table="users"} 2',
    'pegasus_operation_seconds_count{operation="put",table="users"} 1',
    'pegasus_operation_seconds_count{operation="get",table="temp"} 1',
  ]);
  assert.ok((await lines("_bucket")).includes(
    'pegasus_operation_seconds_bucket{operation="get",table="users",le="0.00025"} 2',
  ));
  assert.ok((await lines("request_bytes")).includes(
    'pegasus_operation_request_bytes_total{operation="get",table="users"} 200',
  ));
  assert.ok((await lines("response_bytes")).includes(
    'pegasus_operation_response_bytes_total{operation="put",table="users"} 40',
  ));
});

Deno.test("RequestMetrics counts errors by name, and codes nobody declared together", async () => {
  const { metrics, ask, lines } = open({ 1: "users" });
  ask(Put, 1, Err.BUSY);
  ask(Beacon, 0, Err.FORWARD_TO_OTHERS);
  for (const code of [51_111, 52_222]) metrics.refused(code, Err.HANDLER_NOT_FOUND);
  metrics.refused(Get.code, Err.INVALID_DATA);
  assert.deepEqual((await lines("errors_total{")).toSorted(), [
    'pegasus_request_errors_total{rpc="beacon",error="FORWARD_TO_OTHERS"} 1',
    'pegasus_request_errors_total{rpc="get",error="INVALID_DATA"} 1',
    'pegasus_request_errors_total{rpc="put",error="BUSY"} 1',
    'pegasus_request_errors_total{rpc="unknown",error="HANDLER_NOT_FOUND"} 2',
  ]);
  assert.deepEqual(await lines("rpc_seconds_count"), ['pegasus_rpc_seconds_count{rpc="beacon"} 1']);
});

Deno.test("RequestMetrics keeps one series for all tables that are not served here", async () => {
  const { ask, lines } = open({});
  for (let table = 1; table < 50; table++) ask(Get, table);
  assert.deepEqual(await lines("operation_seconds_count"), [
    'pegasus_operation_seconds_count{operation="get",table="unknown"} 49',
  ]);
});

Deno.test("RequestMetrics follows a renamed table", async () => {
  const names: Record<number, string> = { 1: "old" };
  const { metrics, ask, lines } = open(names);
  ask(Get, 1);
  names[1] = "new";
  metrics.tablesChanged();
  ask(Get, 1);
  ask(Get, 1);
  assert.deepEqual(await lines("operation_seconds_count"), [
    'pegasus_operation_seconds_count{operation="get",table="old"} 1',
    'pegasus_operation_seconds_count{operation="get",table="new"} 2',
  ]);
});

Deno.test("RequestMetrics bills answered requests in units of 4 KiB, by table and partition", async () => {
  const registry = openMetrics();
  const metrics = new RequestMetrics(registry.live.requests);
  metrics.tableName = (id) => id === 1 ? "users" : undefined;
  metrics.holds = (partition) => partition !== partitionId(1, 9);
  const ask = (rpc: typeof Get | typeof Put, index: number, sizes: number[], error = 0) => {
    const tag = metrics.started(rpc, { partition: partitionId(1, index) }, sizes[0]!);
    metrics.answered(tag, error, sizes[1]!);
    metrics.took(tag, 1);
  };
  ask(Get, 3, [50, 0]);
  ask(Get, 3, [50, 8193]);
  ask(Put, 3, [4096, 10]);
  ask(Put, 3, [4097, 10]);
  ask(Put, 3, [40_000, 10], Err.BUSY);
  ask(Put, 4, [10, 10]);
  ask(Put, 9, [10, 10]);
  const counts = metrics.countsOf(partitionId(1, 3))!;
  assert.deepEqual(
    [counts.readUnits, counts.writeUnits, counts.errors, counts.readBytes],
    [4, 3, 1, 8193],
  );
  assert.deepEqual(counts.requests[OPERATIONS.indexOf("put")], 3);
  assert.deepEqual(counts.requests[OPERATIONS.indexOf("get")], 2);
  assert.equal(metrics.countsOf(partitionId(1, 9)), undefined, "it is not here");
  const text = await registry.text();
  assert.match(text, /pegasus_capacity_units_total\{kind="write",table="users"\} 4\n/);
  assert.match(text, /pegasus_capacity_units_total\{kind="read",table="users"\} 4\n/);
});
