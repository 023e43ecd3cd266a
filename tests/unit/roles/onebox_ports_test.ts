// A server starts only where nobody listens; who was killed a moment ago may still do so.

import assert from "node:assert/strict";
import { awaitPorts } from "../../../roles/onebox/ports.ts";
import type { ServerEntry } from "../../../roles/onebox/state.ts";

function listen(): { listener: Deno.Listener; entry: ServerEntry } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { hostname, port } = listener.addr as Deno.NetAddr;
  return {
    listener,
    entry: { name: "r1", role: "replica", address: `${hostname}:${port}`, pid: 0 },
  };
}

Deno.test("awaitPorts() waits for an address that is given back a moment later", async () => {
  const { listener, entry } = listen();
  let isClosed = false;
  setTimeout(() => {
    isClosed = true;
    listener.close();
  }, 60);
  await awaitPorts([entry], 60_000);
  assert(isClosed, "It did not wait");
});

Deno.test("awaitPorts() names the server and the address that stays taken", async () => {
  const { listener, entry } = listen();
  const http = { ...entry, address: "127.0.0.1:0", http: entry.address };
  try {
    for (const taken of [entry, http]) {
      await assert.rejects(
        awaitPorts([taken], 30),
        new RegExp(`Cannot start "r1": ${entry.address} is in use; stop what listens there`),
      );
    }
  } finally {
    listener.close();
  }
  await awaitPorts([entry, http], 0);
});
