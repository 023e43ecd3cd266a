// Where a ZooKeeper ensemble is and where in its tree we live: "zookeeper://host:port,host:port/root".
// Checked as a whole before anything connects; see docs/meta.md, "ZooKeeper".

/** A parsed address. */
export interface ZooKeeperAddress {
  readonly servers: readonly { readonly host: string; readonly port: number }[];
  /** Absolute path without a slash at its end, not "/". */
  readonly root: string;
}

const SCHEME = "zookeeper://";
const PORT_MAX = 65_535;

/** Reads an address. @throws {Error} If it is none, saying what was expected. */
export function parseZooKeeperAddress(text: string): ZooKeeperAddress {
  const fail = (why: string) =>
    new Error(
      `Bad coordinator address "${text}": ${why}; ` +
        "expected zookeeper://HOST:PORT,HOST:PORT/ROOT",
    );
  if (!text.startsWith(SCHEME)) throw fail(`it does not start with ${SCHEME}`);
  const rest = text.slice(SCHEME.length);
  const slash = rest.indexOf("/");
  const root = slash < 0 ? "" : rest.slice(slash).replace(/\/$/, "");
  if (!/^(\/[^/\s]+)+$/.test(root)) throw fail("it has no root, the node to keep everything below");
  if (/\/\.{1,2}(\/|$)/.test(root) || /^\/zookeeper(\/|$)/.test(root)) {
    throw fail("ZooKeeper reserves this root");
  }
  const servers = rest.slice(0, slash).split(",").map((part) => {
    const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(part);
    const port = Number(match?.[3]);
    if (match === null || port < 1 || port > PORT_MAX) throw fail(`"${part}" is no HOST:PORT`);
    return { host: (match[1] ?? match[2])!, port };
  });
  return { servers, root };
}
