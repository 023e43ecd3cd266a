// Whether the addresses of servers are free. Invariant: a server is started only when it can listen, so that who reads
// the error learns which address is taken, by what, and by what name.

import { probe } from "../../src/rpc/tcp_transport.ts";
import type { ServerEntry } from "./state.ts";
import { waitFor } from "./processes.ts";

/** How long an address may stay taken, and who asks. */
export interface Patience {
  /**
   * Longest wait for an address where somebody listens, ms. A process that was killed gives its command line back first
   * and its sockets some milliseconds later, so for that long it looks gone and still listens. @default 2000
   */
  readonly listenerMs?: number;
  /**
   * Longest wait for an address where nobody listens, ms. Connections of other programs get their ports from the same
   * range, and the kernel keeps the port of a closed one for 60 s (TIME_WAIT in tcp(7)). @default 65000
   */
  readonly connectionMs?: number;
  /** Asked all the time: whether to wait no longer. @default never */
  readonly isGivenUp?: () => boolean;
  /** Takes a line for people when a wait may be long. @default nobody */
  readonly note?: (line: string) => void;
}

/** Time in which a machine answers itself, ms. */
const PROBE_MS = 1000;

/**
 * Waits until servers can listen on their addresses, or the wait is given up.
 *
 * @throws {Error} If an address stays taken.
 */
export async function awaitPorts(
  servers: readonly ServerEntry[],
  patience: Patience = {},
): Promise<void> {
  for (const { name, address, http } of servers) {
    for (const used of http === undefined ? [address] : [address, http]) {
      await awaitPort(name, used, patience);
    }
  }
}

async function awaitPort(name: string, address: string, patience: Patience): Promise<void> {
  const { listenerMs = 2000, connectionMs = 65_000, note, isGivenUp = () => false } = patience;
  const isOver = () => isFree(address) || isGivenUp();
  if (await waitFor(isOver, listenerMs)) return;
  const isConnection = await probe(address, PROBE_MS) === "refused";
  if (isConnection) {
    const most = Math.ceil(connectionMs / 1000);
    note?.(`${address} is the port of a connection that ends; waiting for it, at most ${most} s`);
    if (await waitFor(isOver, connectionMs)) return;
  }
  const holder = isConnection
    ? "a connection has that port, and nobody listens there; end the program it belongs to"
    : "stop what listens there";
  throw new Error(
    `Cannot start "${name}": ${address} is in use; ${holder}, or choose another --dir and --port-base`,
  );
}

function isFree(address: string): boolean {
  const [hostname, port] = address.split(":");
  try {
    Deno.listen({ hostname: hostname!, port: Number(port) }).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return false;
    throw error;
  }
}
