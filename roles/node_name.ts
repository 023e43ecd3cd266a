// The name of a server in its cluster, which is the address others dial.

/**
 * The advertised address, or else the one listened on. Where a port is 0 it is the port that was taken.
 *
 * @param bound The bound "host:port".
 */
export function nodeName(
  { listen, advertise = "" }: { readonly listen: string; readonly advertise?: string },
  bound: string,
): string {
  if (advertise.endsWith(":0")) return advertise.slice(0, -1) + portOf(bound);
  if (advertise !== "") return advertise;
  return listen.endsWith(":0") ? bound : listen;
}

function portOf(address: string): string {
  return address.slice(address.lastIndexOf(":") + 1);
}
