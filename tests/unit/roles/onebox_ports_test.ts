// A server starts only where it can listen; who was killed a moment ago may still do so, and connections of others have
// ports from the same range.

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
  await awaitPorts([entry], { listenerMs: 60_000 });
  assert(isClosed, "It did not wait");
});

Deno.test("awaitPorts() names the server and the address that stays taken", async () => {
  const { listener, entry } = listen();
  const http = { ...entry, address: "127.0.0.1:0", http: entry.address };
  try {
    for (const taken of [entry, http]) {
      await assert.rejects(
        awaitPorts([taken], { listenerMs: 30 }),
        new RegExp(`Cannot start "r1": ${entry.address} is in use; stop what listens there`),
      );
    }
  } finally {
    listener.close();
  }
  await awaitPorts([entry, http], { listenerMs: 0 });
});

/** Runs `story` while a connection that somebody else made has the port of a server. */
async function withConnection(
  story: (entry: ServerEntry, close: () => void) => Promise<void>,
): Promise<void> {
  const { listener, entry } = listen();
  const { port } = listener.addr as Deno.NetAddr;
  const [socket, accepted] = await Promise.all([Deno.connect({ port }), listener.accept()]);
  let isOpen = true;
  const close = () => {
    if (!isOpen) return;
    isOpen = false;
    // The other end first: TIME_WAIT is then for its port.
    accepted.close();
    socket.close();
  };
  try {
    const own = (socket.localAddr as Deno.NetAddr).port;
    await story({ ...entry, address: `127.0.0.1:${own}` }, close);
  } finally {
    close();
    listener.close();
  }
}

Deno.test("awaitPorts() waits longer for the port of a connection, and says so", async () => {
  await withConnection(async (entry, close) => {
    const notes: string[] = [];
    const note = (line: string) => {
      notes.push(line);
      setTimeout(close, 60);
    };
    await awaitPorts([entry], { listenerMs: 0, connectionMs: 60_000, note });
    assert.deepEqual(notes, [
      `${entry.address} is the port of a connection that ends; waiting for it, at most 60 s`,
    ]);
  });
});

Deno.test("awaitPorts() tells a connection that stays from somebody who listens", async () => {
  await withConnection(async (entry) => {
    await assert.rejects(
      awaitPorts([entry], { listenerMs: 0, connectionMs: 30 }),
      new RegExp(`Cannot start "r1": ${entry.address} is in use; a connection has that port`),
    );
  });
});

Deno.test("awaitPorts() ends when it is given up", async () => {
  await withConnection(async (entry) => {
    let asked = 0;
    await awaitPorts([entry], {
      listenerMs: 0,
      connectionMs: 60_000,
      isGivenUp: () => ++asked > 3,
    });
    assert.equal(asked, 4);
  });
});
