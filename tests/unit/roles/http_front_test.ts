// The HTTP server against clients that are many, slow, silent or long-winded: others are answered all the time.

import assert from "node:assert/strict";
import { FRONT_LIMITS } from "../../../roles/http/front.ts";
import { Router } from "../../../roles/http/route.ts";
import { type RunningHttp, serveHttp } from "../../../roles/http/server.ts";
import { waitFor } from "../../../roles/onebox/processes.ts";
import { SILENT } from "../../../src/observe/logger.ts";

const WAIT_MS = 20_000;
const BIG = "x".repeat(3_000_000);

async function withServer(
  limits: Partial<typeof FRONT_LIMITS>,
  story: (http: RunningHttp, router: Router) => Promise<void>,
): Promise<void> {
  const router = new Router("");
  router.add({ "/small": { brief: "" }, "/big": { brief: "" } }, {
    "/small": () => ({ body: "small" }),
    "/big": () => ({ body: BIG }),
  });
  const all = { ...FRONT_LIMITS, ...limits };
  const http = await serveHttp("127.0.0.1:0", router, SILENT, undefined, all);
  try {
    await story(http, router);
  } finally {
    await http.close();
  }
}

/** A client that sends exactly what it is told to. */
class Raw {
  text = "";
  closed = false;
  readonly #connection: Deno.TcpConn;

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  static async open({ port }: RunningHttp): Promise<Raw> {
    const raw = new Raw(await Deno.connect({ port, hostname: "127.0.0.1" }));
    raw.#read();
    return raw;
  }

  async send(text: string): Promise<void> {
    await this.#connection.write(new TextEncoder().encode(text)).catch(() => {});
  }

  close(): void {
    if (!this.closed) this.#connection.close();
    this.closed = true;
  }

  async #read(): Promise<void> {
    const bytes = new Uint8Array(65536);
    const decoder = new TextDecoder("latin1");
    try {
      for (;;) {
        const count = await this.#connection.read(bytes);
        if (count === null) break;
        this.text += decoder.decode(bytes.subarray(0, count));
      }
    } catch {
      // Reset, or closed by ourselves.
    }
    this.close();
  }
}

async function get({ address }: RunningHttp, path = "/small"): Promise<string> {
  return await (await fetch(`http://${address}${path}`)).text();
}

const isSoon = (done: () => boolean) => waitFor(done, WAIT_MS, 10);
const REQUEST = "GET /small HTTP/1.1\r\nHost: a\r\n\r\n";

Deno.test("HTTP ends clients that never finish a request, whatever they trickle", async () => {
  await withServer({ headMsMax: 600 }, async (http) => {
    const silent = await Raw.open(http);
    const trickling = await Raw.open(http);
    await trickling.send("GET /small HTTP/1.1\r\n");
    while (!trickling.closed) {
      await trickling.send("X: 1\r\n");
      assert.equal(await get(http), "small");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert(await isSoon(() => silent.closed));
    assert.equal(silent.text + trickling.text, "");
  });
});

Deno.test("HTTP takes a request in pieces, and several one after the other", async () => {
  await withServer({ headMsMax: 10_000 }, async (http) => {
    const client = await Raw.open(http);
    for (const byte of REQUEST) await client.send(byte);
    assert(await isSoon(() => client.text.endsWith("small")));
    await client.send(REQUEST + REQUEST.slice(0, 20));
    assert(await isSoon(() => client.text.split("small").length === 3));
    await client.send(REQUEST.slice(20));
    assert(await isSoon(() => client.text.split("small").length === 4));
    assert.equal(client.closed, false);
    client.close();
    assert.equal((await get(http, "/big")).length, BIG.length);
  });
});

Deno.test("HTTP lets newcomers in however many connections there are", async () => {
  await withServer({ connectionsMax: 20 }, async (http) => {
    const crowd: Raw[] = [];
    for (let i = 0; i < 100; i++) crowd.push(await Raw.open(http));
    assert.equal(await get(http), "small");
    const open = () => crowd.filter(({ closed }) => !closed).length;
    assert(await isSoon(() => open() <= 20), `${open()} are open`);
    for (const raw of crowd) raw.close();
  });
});

Deno.test("HTTP ends connections that rest, whose heads are long, and whose answers nobody reads", async () => {
  await withServer({ idleMsMax: 600, headBytesMax: 2000 }, async (http) => {
    const resting = await Raw.open(http);
    await resting.send(REQUEST);
    assert(await isSoon(() => resting.closed));
    assert(resting.text.endsWith("small"));
    const long = await Raw.open(http);
    await long.send(`GET /small HTTP/1.1\r\nX: ${"y".repeat(3000)}`);
    assert(await isSoon(() => long.closed));
    assert.equal(long.text, "");
    const deaf = await Deno.connect({ port: http.port, hostname: "127.0.0.1" });
    const ask = new TextEncoder().encode(REQUEST.replace("small", "big"));
    // More than the buffers of the system hold.
    for (let i = 0; i < 20; i++) await deaf.write(ask);
    const isReset = () => deaf.write(ask.subarray(0, 1)).then(() => false, () => true);
    assert(await waitFor(isReset, WAIT_MS, 100), "it is still waited for");
    deaf.close();
  });
});

Deno.test("HTTP runs so many requests at a time, and refuses others", async () => {
  await withServer({}, async (http, router) => {
    let release = () => {};
    const released = new Promise<void>((resolve) => release = resolve);
    router.add({ "/wait": { brief: "" } }, {
      "/wait": () => released.then(() => ({ body: "waited" })),
    });
    const answers = Array.from({ length: 70 }, async () => {
      const response = await fetch(`http://${http.address}/wait`);
      await response.body?.cancel();
      return response.status;
    });
    const first = await Promise.race(answers);
    assert.equal(first, 503);
    release();
    const all = await Promise.all(answers);
    assert.deepEqual(all.toSorted((a, b) => a - b), [
      ...new Array(64).fill(200),
      ...new Array(6).fill(503),
    ]);
  });
});
