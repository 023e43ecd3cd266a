// What a onebox remembers between commands: `onebox.json` in its directory names the servers, their
// addresses and processes. Written beside and renamed over, so that a reader never sees half of it. The
// process id alone proves nothing, it may be somebody else's by now: see isRunning() in processes.ts.

/** One server of a onebox. */
export interface ServerEntry {
  /** "m1", "m2", ... for meta servers, "r1", "r2", ... for replica servers. */
  readonly name: string;
  readonly role: "meta" | "replica";
  /** Where it listens; port 0 until its first start told the port. Its identity: kept across restarts. */
  readonly address: string;
  /** Where it answers HTTP; absent = the settings' default. */
  readonly http?: string;
  /** Process id while it should be running; 0 after it was stopped or killed on request. */
  readonly pid: number;
}

/** Content of the state file. */
export interface OneboxState {
  readonly version: 1;
  readonly servers: readonly ServerEntry[];
  /** Where the meta servers keep their state, as their setting says; absent = "embedded". */
  readonly coordinator?: string;
}

const FILE = "onebox.json";

/** Reads the state of `dir`; `undefined` if there is none. @throws {Error} If the file is not a state file. */
export function readState(dir: string): OneboxState | undefined {
  const path = `${dir}/${FILE}`;
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const state = parseState(text);
  if (state !== undefined) return state;
  throw new Error(
    `Cannot read "${path}": expected the state of a onebox; remove the directory to begin anew`,
  );
}

/** The state a text holds; `undefined` if it holds none. */
export function parseState(text: string): OneboxState | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const state = value as Partial<OneboxState> | null;
  if (typeof state !== "object" || state?.version !== 1 || !Array.isArray(state.servers)) {
    return undefined;
  }
  if (!state.servers.every(isEntry) || !/string|undefined/.test(typeof state.coordinator)) {
    return undefined;
  }
  const { servers, coordinator } = state;
  return { version: 1, servers, ...(coordinator === undefined ? {} : { coordinator }) };
}

function isEntry(value: unknown): value is ServerEntry {
  const entry = value as Partial<ServerEntry> | null;
  return typeof entry === "object" && entry !== null &&
    /^[mr][1-9]\d*$/.test(String(entry.name)) &&
    (entry.role === "meta" || entry.role === "replica") &&
    /:\d+$/.test(String(entry.address)) && /^undefined$|:\d+$/.test(String(entry.http)) &&
    Number.isSafeInteger(entry.pid) && entry.pid! >= 0;
}

/** Replaces the state of `dir`. */
export function writeState(dir: string, state: OneboxState): void {
  Deno.mkdirSync(dir, { recursive: true });
  const temporary = `${dir}/${FILE}.${Deno.pid}`;
  Deno.writeTextFileSync(temporary, JSON.stringify(state, undefined, 2) + "\n");
  Deno.renameSync(temporary, `${dir}/${FILE}`);
}

/** The servers of a new onebox. `portBase` 0 lets the kernel choose the ports. */
export function planServers(metas: number, replicas: number, portBase: number): ServerEntry[] {
  const entry = (role: ServerEntry["role"], index: number): ServerEntry => {
    const name = `${role === "meta" ? "m" : "r"}${index + 1}`;
    if (portBase === 0) return { name, role, address: "127.0.0.1:0", pid: 0 };
    const port = portBase + (role === "meta" ? 0 : REPLICA_PORT_OFFSET) + index;
    const http = `127.0.0.1:${port + HTTP_PORT_OFFSET}`;
    return { name, role, address: `127.0.0.1:${port}`, http, pid: 0 };
  };
  return [
    ...Array.from({ length: metas }, (_, i) => entry("meta", i)),
    ...Array.from({ length: replicas }, (_, i) => entry("replica", i)),
  ];
}

/** Replica servers listen so far above the meta servers: 34601 and 34801. */
const REPLICA_PORT_OFFSET = 200;
/** A server answers HTTP so far above its own port: 34901 and 35101. */
const HTTP_PORT_OFFSET = 300;

/** The name a user meant: "r2", "m1", or "2" for "r2". */
export function nameOf(word: string): string {
  return /^\d+$/.test(word) ? `r${word}` : word;
}
