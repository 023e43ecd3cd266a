// Commands that start something and wait for its end: what they say if the end does not come.

import assert from "node:assert/strict";
import { Connections } from "../../../roles/shell/connections.ts";
import { Runner } from "../../../roles/shell/runner.ts";
import { Err } from "../../../src/base/errors.ts";
import { Cluster } from "../../../src/client/cluster.ts";
import { FakeCluster } from "../client/fake_cluster.ts";
import { memoryIo } from "./fake_shell.ts";

function openRunner(json = false) {
  const fake = new FakeCluster();
  fake.addTable("t", 4);
  const { io, printed } = memoryIo();
  const open = () => new Cluster(fake, { meta: ["m1:1"] });
  const runner = new Runner(io, new Connections(open, ["m1:1"], []), {
    tableName: undefined,
    timeoutMs: 1000,
    escapeAll: false,
    json,
    yes: false,
    isLeaving: false,
  });
  return { fake, runner, printed };
}

/** A balancer that never ends its first move, and Ctrl-C as soon as somebody looks how far it is. */
function interruptedBalancer(json = false) {
  const opened = openRunner(json);
  const state = { running: true, waitsFor: "", moving: 1, started: 1, next: [] };
  opened.fake.fault = ({ name, request }) => {
    if (name !== "balance" || request.action !== "status") return undefined;
    opened.runner.interrupt();
    return { answer: { ...state, remaining: 4, isMore: false } };
  };
  return opened;
}

Deno.test("a balance that is interrupted does not say that shares are equal", async () => {
  const { runner, printed } = interruptedBalancer();
  assert.equal(await runner.run("balance", false), 1);
  assert.match(printed.out, /\nInterrupted after 1 move; the balancer goes on.*--stop ends it\n$/);
  assert.doesNotMatch(printed.out, /OK/);
  const asJson = interruptedBalancer(true);
  assert.equal(await asJson.runner.run("balance", false), 1);
  const { moves, done } = JSON.parse(asJson.printed.out);
  assert.deepEqual([moves, done], [1, false]);
});

Deno.test("a move that is interrupted does not say that it is made", async () => {
  const { runner, printed } = interruptedBalancer();
  assert.equal(await runner.run("balance -g 1.3 -p move_pri -f n1:1 -t n2:1", false), 1);
  assert.equal(printed.out, "Interrupted; 1.3 goes on moving; app -d shows where it is\n");
});

Deno.test("a drain that is interrupted does not say that it cannot go on", async () => {
  const { runner, printed } = interruptedBalancer();
  assert.equal(await runner.run("drain n1:1", false), 1);
  assert.match(printed.out, /^n1:1 still has .*: interrupted, and it goes on\n$/);
});

Deno.test("a compaction on a server that stops answering is not done", async () => {
  for (const query of ["", " --query"]) {
    const { fake, runner, printed } = openRunner(true);
    fake.fault = ({ address, name, request }) => {
      if (name !== "remote_command") return undefined;
      if (request.command === "compact") return { answer: { output: "" } };
      if (address === "n2:1") return { before: Err.CONNECT_FAILED, detail: "Nobody listens there" };
      return { answer: { output: "shard 0: 1.0 finished 2 files\n" } };
    };
    assert.equal(await runner.run(`manual_compact t${query}`, false), 1, query);
    const [one, two] = JSON.parse(printed.out);
    assert.deepEqual(one, { node: "n1:1", gpid: "1.0", state: "finished", detail: "2 files" });
    assert.deepEqual([two.node, two.gpid, two.state], ["n2:1", "", "no answer"]);
    assert.match(two.detail, /Nobody listens there/);
  }
});
