// Whether the addresses of servers are free. Invariant: a server is started only when nobody listens where it will, so
// that who reads the error learns which address is taken and by what name.

import type { ServerEntry } from "./state.ts";
import { waitFor } from "./processes.ts";

/**
 * Longest wait for an address, ms. A process that was killed gives its command line back first and its sockets some
 * milliseconds later, so for that long it looks gone and still listens.
 */
const FREE_MS = 2000;

/** Waits until nobody listens on the addresses. @throws {Error} If somebody does after {@link FREE_MS}. */
export async function awaitPorts(
  servers: readonly ServerEntry[],
  timeoutMs = FREE_MS,
): Promise<void> {
  for (const { name, address, http } of servers) {
    for (const used of http === undefined ? [address] : [address, http]) {
      if (await waitFor(() => isFree(used), timeoutMs)) continue;
      throw new Error(
        `Cannot start "${name}": ${used} is in use; stop what listens there, or choose another ` +
          `--dir and --port-base`,
      );
    }
  }
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
