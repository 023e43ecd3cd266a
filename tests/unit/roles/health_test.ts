// The answers of `pegasus health` to servers that are fine, not ready, silent and missing.

import assert from "node:assert/strict";
import { askHealth } from "../../../roles/health.ts";

Deno.test("askHealth() tells what the server says", async () => {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/healthz") return new Response("ok\n");
    return new Response('{"error":"The lease has run out"}', { status: 503 });
  });
  const address = `127.0.0.1:${server.addr.port}`;
  assert.deepEqual(await askHealth(address, "/healthz", 5000), { healthy: true, reason: "ok" });
  assert.deepEqual(await askHealth(`http://${address}`, "/readyz", 5000), {
    healthy: false,
    reason: '{"error":"The lease has run out"}',
  });
  await server.shutdown();
  const gone = await askHealth(address, "/healthz", 5000);
  assert.equal(gone.healthy, false);
  assert.match(gone.reason, /refused/i);
});

Deno.test("askHealth() does not wait for a server that does not answer", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const silent = await askHealth(`127.0.0.1:${port}`, "/readyz", 50);
  assert.equal(silent.healthy, false);
  assert.match(silent.reason, /no answer within 50 ms/);
  listener.close();
});
