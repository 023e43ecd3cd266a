// A socket that reached itself: nobody listens there.

import assert from "node:assert/strict";
import net from "node:net";
import { dial, isSelfConnected, probe } from "../../../src/rpc/tcp_transport.ts";

/** A port on which nobody listens, and that outgoing connections may have. */
function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}

/** Runs `story` while the kernel gives outgoing connections the port `from`, which it does to others by chance. */
async function withLocalPort(from: number, story: () => Promise<void>): Promise<void> {
  const { connect } = net;
  const local = { localAddress: "127.0.0.1", localPort: from };
  const patched = (options: net.NetConnectOpts) => connect({ ...options, ...local });
  net.connect = patched as typeof connect;
  try {
    await story();
  } finally {
    net.connect = connect;
  }
}

function dialed(address: string): Promise<string> {
  return new Promise((resolve) => {
    dial(address, (wire) => {
      wire.destroy();
      resolve("open");
    }, resolve);
  });
}

Deno.test("dial() and probe() take a connection to itself for nobody who listens", async () => {
  const port = freePort();
  const address = `127.0.0.1:${port}`;
  await withLocalPort(port, async () => {
    const socket = net.connect({ host: "127.0.0.1", port });
    await new Promise((resolve) => socket.once("connect", resolve));
    assert(isSelfConnected(socket));
    await new Promise((resolve) => socket.once("close", resolve).destroy());
    assert.equal(await dialed(address), "Nobody listens there");
    assert.equal(await probe(address, 1000), "refused");
  });
  // The port is free again for whom it is meant for.
  const listener = Deno.listen({ hostname: "127.0.0.1", port });
  try {
    assert.equal(await dialed(address), "open");
    assert.equal(await probe(address, 1000), "listening");
  } finally {
    listener.close();
  }
});
