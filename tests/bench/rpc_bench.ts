// Round trips per second of one connection on loopback, server and client in separate processes: a
// get-like call (24 B key, 140 B value) with 1, 32 and 256 calls outstanding, with callbacks and
// with promises. Recorded, not asserted.
// Run: deno run -A tests/bench/rpc_bench.ts [seconds] [plain|auth|tls]
//   auth: a password is proven in the handshake; tls: that, over TLS (needs openssl).

import { makeAuthority, makeCertificate } from "../../roles/onebox/certificates.ts";
import { AccessBook } from "../../src/rpc/access_book.ts";
import { TcpRpcClient } from "../../src/rpc/rpc_client.ts";
import { TcpRpcServer } from "../../src/rpc/rpc_server.ts";
import { makeVerifier } from "../../src/rpc/scram.ts";
import { acceptSecurity, clientDialSecurity, OPEN } from "../../src/rpc/security.ts";
import { Get } from "../../src/schema/client_rpc.ts";

const identity = { cluster: "bench", node: "", role: "client" };
const TIMEOUT_MS = 5000;

const PASSWORD = "the password of the bench";

/** How both ends are secured. @param dir Certificates; "" = plain TCP. */
function secured(dir: string, auth: boolean) {
  const read = (name: string) => Deno.readTextFileSync(`${dir}/${name}`);
  const server = dir === ""
    ? undefined
    : { cert: read("pegasus-server.pem"), key: read("pegasus-server.key"), ca: read("ca.pem") };
  const book = new AccessBook();
  const verifier = makeVerifier(PASSWORD);
  book.update({ version: 1, users: [{ name: "ada", admin: false, verifier, createdAt: 0 }] });
  const credentials = auth ? { user: "ada", password: PASSWORD } : undefined;
  const tls = server === undefined ? undefined : { ca: server.ca, cert: "", key: "" };
  return {
    accept: acceptSecurity({ ...OPEN, auth: auth ? "required" : "off", tls: server }, book),
    dial: clientDialSecurity(credentials, tls),
  };
}

async function serve(dir: string, auth: boolean): Promise<void> {
  const server = new TcpRpcServer({ identity, accept: secured(dir, auth).accept });
  const value = new Uint8Array(140).fill(7);
  server.handle(Get, (_request, call) => call.reply({ value }));
  console.log(await server.listen("127.0.0.1:0"));
}

interface Result {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

class Meter {
  readonly #startedAt = performance.now();
  readonly #latencies: number[] = [];
  #done = 0;

  add(startedAt: number, now: number): void {
    this.#done++;
    if (this.#done % 16 === 0) this.#latencies.push(now - startedAt);
  }

  result(): Result {
    const perSecond = this.#done / ((performance.now() - this.#startedAt) / 1000);
    const sorted = this.#latencies.sort((a, b) => a - b);
    const at = (part: number) => (sorted[Math.floor(sorted.length * part)] ?? 0) * 1000;
    return { perSecond, p50Us: at(0.5), p99Us: at(0.99) };
  }
}

const key = new Uint8Array(24).fill(1);
const request = { partition: 65539, stale: false, key, stalenessMaxMs: 0 };

function withCallbacks(client: TcpRpcClient, to: string, window: number, ms: number) {
  return new Promise<Result>((resolve, reject) => {
    const meter = new Meter();
    const end = performance.now() + ms;
    let running = window;
    const next = () => {
      const startedAt = performance.now();
      client.start(to, Get, request, TIMEOUT_MS, (error, _response, detail) => {
        if (error !== 0) return reject(new Error(detail));
        const now = performance.now();
        meter.add(startedAt, now);
        if (now < end) next();
        else if (--running === 0) resolve(meter.result());
      });
    };
    for (let i = 0; i < window; i++) next();
  });
}

async function withPromises(client: TcpRpcClient, to: string, window: number, ms: number) {
  const meter = new Meter();
  const end = performance.now() + ms;
  const get = async () => (await client.call(to, Get, request, TIMEOUT_MS)).value;
  const loop = async () => {
    for (let now = 0; now < end;) {
      const startedAt = performance.now();
      await get();
      now = performance.now();
      meter.add(startedAt, now);
    }
  };
  await Promise.all(Array.from({ length: window }, loop));
  return meter.result();
}

async function main(seconds: number, mode: string): Promise<void> {
  const isSecured = mode !== "plain";
  let dir = "";
  if (mode === "tls") {
    dir = Deno.makeTempDirSync({ prefix: "rpc-bench-" });
    await makeAuthority(dir);
    await makeCertificate(dir, "pegasus-server", true);
  }
  const server = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-net",
      "--allow-env",
      "--allow-read",
      import.meta.filename!,
      "serve",
      dir,
      String(isSecured),
    ],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const { value } = await server.stdout.getReader().read();
  const to = new TextDecoder().decode(value).trim();
  const client = new TcpRpcClient({ identity, dial: secured(dir, isSecured).dial });
  await withCallbacks(client, to, 32, 1000);
  for (const [name, run] of [["callback", withCallbacks], ["promise", withPromises]] as const) {
    for (const window of [1, 32, 256]) {
      const { perSecond, p50Us, p99Us } = await run(client, to, window, seconds * 1000);
      const cells = [Math.round(perSecond), p50Us.toFixed(0), p99Us.toFixed(0)];
      console.log(
        `${name} outstanding=${window} calls/s=${cells[0]} p50us=${cells[1]} p99us=${cells[2]}`,
      );
    }
  }
  await client.close();
  server.kill("SIGTERM");
  await server.status;
  if (dir !== "") Deno.removeSync(dir, { recursive: true });
}

if (Deno.args[0] === "serve") await serve(Deno.args[1]!, Deno.args[2] === "true");
else await main(Number(Deno.args[0] ?? 3), Deno.args[1] ?? "plain");
