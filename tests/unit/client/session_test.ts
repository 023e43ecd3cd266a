// Numbers of a session.

import assert from "node:assert/strict";
import fc from "fast-check";
import { Session } from "../../../src/client/session.ts";

Deno.test("Session answeredBelow is the lowest sequence that is not finished", () => {
  fc.assert(fc.property(fc.array(fc.nat(), { maxLength: 60 }), (choices) => {
    const session = new Session(7);
    const open: number[] = [];
    for (const choice of choices) {
      if (choice % 3 !== 0 || open.length === 0) open.push(session.take());
      else session.finish(open.splice(choice % open.length, 1)[0]!);
      if (open.length > 0) assert.equal(session.answeredBelow, Math.min(...open));
    }
    for (const sequence of open) session.finish(sequence);
    assert.equal(session.answeredBelow, session.take());
  }));
});
