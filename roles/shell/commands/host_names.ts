// Host names instead of IP addresses, for people: -r of the commands that list servers.

import type { Context } from "../context.ts";
import type { Args, Flag } from "../declare.ts";

/** Switches {@link namesOf} on. */
export const RESOLVE: Flag = {
  name: "resolve_ip",
  short: "r",
  type: "bool",
  brief: "Host names instead of IP addresses, where they are known",
};

/** What to show for "host:port": without -r, or where no name is known, itself. */
export async function namesOf(
  { io }: Pick<Context, "io">,
  args: Args,
  addresses: readonly string[],
): Promise<(address: string) => string> {
  const { hostNameOf } = io;
  if (!args.has(RESOLVE.name) || hostNameOf === undefined) return (address) => address;
  const hosts = [...new Set(addresses.map(hostOf))];
  const names = new Map(
    await Promise.all(hosts.map(async (host) => [host, await hostNameOf(host)] as const)),
  );
  return (address) => {
    const name = names.get(hostOf(address));
    return name === undefined ? address : name + address.slice(address.lastIndexOf(":"));
  };
}

/** Without the port, and without the brackets of IPv6. */
function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1");
}
