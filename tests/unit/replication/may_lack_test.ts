// A replica that may lack what it acknowledged, because it was written without fsync and the power was lost: what it
// does not do before somebody has vouched for it. docs/protocol.md, "Restart" (§12.5).

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { formed, type Group } from "./group.ts";

Deno.test("ReplicaCore steps aside after a restart that may have cost it acknowledged writes", () => {
  const group = formed();
  for (let i = 0; i < 3; i++) {
    group.put("A", `w${i}`, "k", `${i}`);
    group.run();
  }
  group.crash("A");
  group.member("A").log.splice(-1);
  group.restart("A", { mayLack: true });
  group.pass(200);
  assert.deepEqual([group.config.primary, group.config.secondaries], ["", ["B", "C"]]);
  group.failOver("A", "B");
  assert.equal(group.row("B", "k"), "2");
  // Meta adds it again, it learns, and the next checkpoint says that it is whole.
  group.propose("B", "ADD_SECONDARY", "A");
  group.pass(1500);
  assert.deepEqual(group.config.secondaries, ["C", "A"]);
  assert.equal(group.core("A").mayLack, false);
});

Deno.test("ReplicaCore steps aside although another request than its own came true", () => {
  const group = formed();
  group.put("A", "w", "k", "v");
  group.run();
  group.crash("A");
  group.member("A").log.splice(-1);
  group.metaDown = true;
  group.restart("A", { mayLack: true });
  // Its request is on its way while meta stores that a secondary has left.
  const { config } = group;
  group.config = { ...config, ballot: config.ballot + 1, secondaries: ["B"], lastDrops: ["C"] };
  group.step("A", { kind: "config", config: group.config });
  group.run();
  assert.notEqual(group.core("A").status, "primary");
  group.metaDown = false;
  group.pass(1000);
  assert.deepEqual([group.config.primary, group.config.secondaries], ["", ["B"]]);
});

Deno.test("ReplicaCore does not take over while it may lack acknowledged writes", () => {
  const group = formed();
  group.put("A", "w", "k", "v");
  group.run();
  group.crash("A");
  group.crash("B");
  group.restart("B", { mayLack: true });
  const { ballot } = group.config;
  group.config = { ...group.config, ballot: ballot + 1, primary: "", secondaries: ["B", "C"] };
  group.step("B", { kind: "config", config: group.config });
  group.propose("B", "UPGRADE_TO_PRIMARY", "B");
  group.run();
  assert.equal(group.config.primary, "");
  // Only an operator who accepts the loss makes it lead.
  group.propose("B", "ASSIGN_PRIMARY", "B");
  group.run();
  assert.equal(group.config.primary, "B");
});

/** B has lost what A committed, C leads and does not know yet that it was committed, and takes B back. */
function rejoinedWithoutEnd(): Group {
  const group = formed();
  group.put("A", "w1", "k", "1");
  group.run();
  group.pass(600);
  group.put("A", "w2", "k", "2");
  group.run();
  assert.equal(group.reply("w2")?.error, Err.OK);
  group.crash("A");
  group.crash("B");
  group.member("B").log.splice(-1);
  group.drop = (to, { kind }) => to === "B" && kind === "prepare";
  group.failOver("A", "C");
  group.restart("B", { mayLack: true });
  assert.deepEqual([group.config.primary, group.config.secondaries], ["C", ["B"]]);
  assert.equal(group.core("B").status, "secondary");
  return group;
}

Deno.test("ReplicaCore may lack what it acknowledged until it holds all that its primary took over", () => {
  const group = rejoinedWithoutEnd();
  group.crash("C");
  group.failOver("C", "B");
  // It would lead without w2.
  assert.deepEqual([group.config.primary, group.core("B").mayLack], ["", true]);
});

Deno.test("ReplicaCore is whole again when it has logged all that its primary took over", () => {
  const group = rejoinedWithoutEnd();
  group.drop = () => false;
  group.pass(600);
  assert.equal(group.core("B").mayLack, false);
  group.crash("C");
  group.failOver("C", "B");
  assert.equal(group.config.primary, "B");
  assert.equal(group.row("B", "k"), "2");
});
