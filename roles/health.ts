// `pegasus health`: asks a server over HTTP whether it does its work, for container health checks, service
// managers and scripts on machines without other tools. Exit code 0: yes; 1: no, with the reason; 2: wrong
// usage. Paths: docs/http.md.

import { type AnySetting, bool, duration, text } from "../src/config/field.ts";
import { readFlags } from "../src/config/flags.ts";
import { fileProblem } from "./file_problem.ts";
import { flagLines } from "../src/config/help.ts";

const FLAGS = {
  "tls-ca": text({ default: "", doc: "PEM file with the authority of an https server" }),
  http: text({
    default: "127.0.0.1:34900",
    pattern: /^(https?:\/\/)?(\[[^\]]+\]|[^:/]+):\d{1,5}$/,
    expected: "HOST:PORT, or that behind http:// or https://",
    doc: "Address of the server's --http",
  }),
  live: bool({ default: false, doc: "Ask only whether the process is alive (/healthz)" }),
  timeout: duration({
    default: "2s",
    min: "10ms",
    max: "1m",
    doc: "No answer for so long is a no",
  }),
} as const;

function healthHelp(): string {
  return [
    "Asks a server whether it does its work; exit code 0: yes, 1: no, 2: wrong usage",
    "",
    "Usage: pegasus health [flags]",
    "",
    ...flagLines(Object.entries<AnySetting>(FLAGS)),
  ].join("\n");
}

/** What a server said. */
export interface Health {
  readonly healthy: boolean;
  /** For people. */
  readonly reason: string;
}

/** Asks one server once. @param authority PEM text; "" = those of the system. @param address "host:port", or a URL without a path. */
export async function askHealth(
  address: string,
  path: string,
  timeoutMs: number,
  authority = "",
): Promise<Health> {
  const base = /^https?:/.test(address) ? address : `http://${address}`;
  try {
    using client = Deno.createHttpClient(authority === "" ? {} : { caCerts: [authority] });
    const signal = AbortSignal.timeout(timeoutMs);
    const answer = await fetch(`${base}${path}`, { signal, client });
    const said = (await answer.text()).trim();
    return { healthy: answer.status === 200, reason: said === "" ? `${answer.status}` : said };
  } catch (error) {
    const timedOut = error instanceof DOMException && error.name === "TimeoutError";
    // What went wrong in the network is the cause of what fetch throws.
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    const reason = timedOut
      ? `no answer within ${timeoutMs} ms`
      : cause instanceof Error
      ? cause.message
      : String(cause);
    return { healthy: false, reason: `${base}: ${reason}` };
  }
}

/** Runs the role. @returns The exit code. */
export async function runHealth(args: readonly string[]): Promise<number> {
  const fields = new Map<string, AnySetting>(Object.entries(FLAGS));
  const { given, words, help, problems } = readFlags(fields, args);
  if (help) {
    console.log(healthHelp());
    return 0;
  }
  const all = [...problems, ...words.map((word) => `Unexpected word "${word}"; see --help`)];
  const values = new Map<string, unknown>();
  for (const [name, field] of fields) {
    const written = given.get(name);
    const parsed = written === undefined ? undefined : field.parse(written);
    if (parsed?.ok === false) {
      all.push(`Bad value of --${name}: got "${written}", expected ${parsed.expected}`);
    }
    values.set(name, parsed?.ok === true ? parsed.value : field.default);
  }
  if (all.length > 0) {
    console.error(all.join("\n"));
    return 2;
  }
  const path = values.get("live") === true ? "/healthz" : "/readyz";
  const file = String(values.get("tls-ca"));
  let authority: string;
  try {
    authority = file === "" ? "" : Deno.readTextFileSync(file);
  } catch (error) {
    console.error(fileProblem("read", `the file "${file}" of --tls-ca`, error).message);
    return 2;
  }
  const timeoutMs = Number(values.get("timeout"));
  const health = await askHealth(String(values.get("http")), path, timeoutMs, authority);
  (health.healthy ? console.log : console.error)(health.reason);
  return health.healthy ? 0 : 1;
}
