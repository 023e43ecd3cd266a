// Stories of replicas whose log ended in bytes that are no records (docs/protocol.md, §12.6).

import assert from "node:assert/strict";
import { Group } from "./group.ts";

/** Three members that hold `writes` writes to one key. */
function formed(writes: number): Group {
  const group = new Group(["A", "B", "C"]);
  group.form();
  for (let i = 1; i <= writes; i++) {
    group.put("A", `w${i}`, "k", `${i}`);
    group.run();
  }
  return group;
}

Deno.test("ReplicaCore does not lead again when its log lost what the others hold", () => {
  for (const told of [false, true]) {
    const group = formed(3);
    // The others may know or not that it was committed: neither condemns itself for it, neither drops it.
    if (told) group.pass(3000);
    group.crash("A");
    group.member("A").log.splice(-1);
    group.restart("A", { tornTail: true });
    group.pass(200);
    assert.deepEqual([group.config.primary, group.config.secondaries], ["", ["B", "C"]]);
    group.propose("C", "UPGRADE_TO_PRIMARY", "C");
    group.pass(200);
    assert.equal(group.row("C", "k"), "3");
    assert.equal(group.core("B").status, "secondary");
  }
});

Deno.test("ReplicaCore leads again when one member holds no more than its torn log", () => {
  const group = formed(3);
  group.crash("A");
  group.crash("C");
  group.restart("A", { tornTail: true });
  group.pass(200);
  assert.equal(group.config.primary, "A");
  assert.equal(group.core("A").tailTorn, false);
  group.pass(5000);
  assert.equal(group.row("A", "k"), "3");
});

Deno.test("ReplicaCore leads again with a torn log when no other member answers", () => {
  const group = formed(1);
  group.crash("A");
  group.drop = (_to, message) => message.kind === "tailQuery";
  group.restart("A", { tornTail: true });
  const { ballot } = group.config;
  group.pass(2000);
  assert.equal(group.config.ballot, ballot, "it waits");
  group.drop = () => false;
  // A question that was lost is asked again.
  group.pass(600);
  assert.deepEqual([group.config.primary, group.config.ballot], ["A", ballot + 1]);

  const alone = formed(1);
  for (const name of ["A", "B", "C"]) alone.crash(name);
  alone.restart("A", { tornTail: true });
  alone.pass(14_900);
  assert.equal(alone.config.ballot, ballot);
  alone.pass(10_000);
  assert.deepEqual([alone.config.primary, alone.config.secondaries], ["A", []]);
  assert.equal(alone.row("A", "k"), "1");
});

Deno.test("ReplicaCore declines to take over with a torn log that lacks what another one holds", () => {
  const group = formed(2);
  for (const name of ["A", "B", "C"]) group.crash(name);
  group.member("B").log.splice(-1);
  group.restart("C");
  group.restart("B", { tornTail: true });
  const { ballot } = group.config;
  group.config = { ...group.config, ballot: ballot + 1, primary: "", secondaries: ["B", "C"] };
  for (const name of ["B", "C"]) group.step(name, { kind: "config", config: group.config });
  group.propose("B", "UPGRADE_TO_PRIMARY", "B");
  group.pass(200);
  assert.equal(group.config.primary, "");
  group.propose("C", "UPGRADE_TO_PRIMARY", "C");
  group.pass(200);
  assert.equal(group.config.primary, "C");
  assert.equal(group.row("C", "k"), "2");
});

Deno.test("ReplicaCore without a torn log asks nobody", () => {
  const group = formed(1);
  const kinds = new Set<string>();
  group.drop = (_to, message) => {
    kinds.add(message.kind);
    return false;
  };
  group.crash("A");
  group.restart("A");
  group.pass(2000);
  assert.equal(group.config.primary, "A");
  assert.deepEqual([kinds.has("prepare"), kinds.has("tailQuery")], [true, false]);
});

Deno.test("ReplicaCore asks spectators nothing and gets no answer from them", () => {
  const group = formed(1);
  group.step("C", {
    kind: "message",
    message: {
      kind: "removeReplica",
      body: { partition: group.config.partition, from: "A", incarnation: 1, ballot: 9 },
    },
  });
  assert.equal(group.core("C").status, "inactive");
  const answers: string[] = [];
  group.drop = (_to, message) => {
    if (message.kind === "tailReport") answers.push(message.body.from);
    return false;
  };
  group.crash("A");
  group.restart("A", { tornTail: true });
  group.pass(600);
  assert.deepEqual([...new Set(answers)], ["B"]);
});
