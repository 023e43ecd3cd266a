// Commands of docs/operations.md and docs/SECURITY.md, run as they stand against real servers. Addresses and
// directories of the pages are replaced by those of the test, and nothing else.

import assert from "node:assert/strict";
import { waitFor } from "../../roles/onebox/processes.ts";
import { missing } from "../missing.ts";
import { TestZooKeeper, zooKeeperMissing } from "../zookeeper.ts";
import { blocksOf, freePort, inTerminal, type Terminal } from "./terminal.ts";

const OPERATIONS = "docs/operations.md";
const WAIT_MS = 60_000;

/** Replaces places; each must stand in the text, or the page has changed. */
function at(text: string, places: Record<string, string>): string {
  return Object.entries(places).reduce((now, [from, to]) => {
    assert.ok(now.includes(from), `"${from}" does not stand in:\n${text}`);
    return now.replaceAll(from, to);
  }, text).trim();
}

/** Runs a line until it prints what is expected; its exit code may be that of a cluster in trouble. */
async function until(terminal: Terminal, line: string, expected: RegExp): Promise<void> {
  let said = "";
  const holds = await waitFor(
    async () => expected.test(said = await terminal.paste(`${line} || true`)),
    WAIT_MS,
  );
  assert.ok(holds, `${line}\n${said}`);
}

Deno.test("security: authentication and TLS are switched on as the page says", async () => {
  const section = ["docs/SECURITY.md", "Switching it on"] as const;
  const [make, administer] = blocksOf(...section);
  const [settings] = blocksOf(...section, "toml");
  await inTerminal(async (terminal) => {
    const etc = `${terminal.dir}/etc`;
    Deno.mkdirSync(etc);
    await terminal.paste(at(make!, { "/etc/pegasus": etc, "10.0.0.1": "127.0.0.1" }));
    const text = at(settings!, { "/etc/pegasus": etc, "/var/log/pegasus": terminal.dir });
    Deno.writeTextFileSync(`${etc}/pegasus.toml`, text);
    const common = `--config ${etc}/pegasus.toml --listen 127.0.0.1:0`;
    const meta = await terminal.serve(`pegasus meta ${common}`);
    await terminal.serve(`pegasus replica --meta ${meta} ${common}`);
    const lines = at(administer!, {
      "/etc/pegasus": etc,
      "10.0.0.1:34601": meta,
      "create orders": "create orders -p 1 -r 1",
    }).split(/\n(?=pegasus)/);
    const [first, second] = lines;
    assert.match(await terminal.converse(first!, ["root word", "root word"]), /OK/);
    const answers = ["root word", "app word", "app word"];
    assert.match(await terminal.converse(second!, answers), /OK.*OK.*OK/s);
    const shell = `pegasus shell --meta ${meta} --tls-ca ca.pem`;
    const app = { PEGASUS_USER: "app", PEGASUS_PASSWORD: "app word" };
    const rows = `${shell} -e "use orders; set h s v; get h s"`;
    assert.match(await terminal.paste(rows, app), /"v"/);
    assert.match(await terminal.paste(`${shell} -e "drop orders --yes" || true`, app), /ACL_DENY/);
    assert.match(await terminal.paste(`${rows} || true`), /ERROR/);
  });
});

Deno.test("operations: addresses, labels, and meta's state moved into ZooKeeper", async () => {
  const [meta, replica] = at(blocksOf(OPERATIONS, "Addresses")[0]!, {}).split("\n").reverse();
  const [labels] = blocksOf(OPERATIONS, "Racks, zones, hosts");
  const [move] = blocksOf(OPERATIONS, "Moving meta's state");
  const lacking = zooKeeperMissing();
  await inTerminal(async (terminal) => {
    const [metaPort, replicaPort] = [freePort(), freePort()];
    const metaAddress = `localhost:${metaPort}`;
    const names = { "34601": `${metaPort}`, "meta1.example.com": "localhost" };
    const prod = "--cluster prod";
    await terminal.serve(`${at(meta!, names)} ${prod}`);
    const common = { "10.0.0.1:34601": metaAddress };
    const ports = { "34801": `${replicaPort}`, "db1.example.com": "localhost" };
    await terminal.serve(`${at(replica!, { ...common, ...ports })} ${prod}`);
    const second = at(labels!, { ...common, "10.0.1.5:34801": "127.0.0.1:0" });
    await terminal.serve(`${second} ${prod} --data-dir second`);
    const shell = (address: string, commands: string) =>
      terminal.paste(`pegasus shell --meta ${address} -e "${commands}"`);
    // A server listens before meta has heard of it.
    const nodes = `pegasus shell --meta ${metaAddress} -e "nodes -d"`;
    await until(terminal, nodes, new RegExp(`localhost:${replicaPort} +ALIVE`));
    await until(terminal, nodes, /ALIVE .*zone=a,rack=r1/);
    await shell(metaAddress, "create t -p 1 -r 2; use t; set h s v");
    await terminal.endServers();
    if (lacking !== undefined) return missing(`Meta's state is not moved. ${lacking}`);
    const store = await TestZooKeeper.start();
    try {
      const said = await terminal.paste(at(move!, {
        "systemctl stop pegasus-meta": "",
        "/var/lib/pegasus/meta": `${terminal.dir}/data/meta`,
        "/root/": `${terminal.dir}/`,
        "zk1:2181,zk2:2181": store.address,
      }));
      assert.match(said, /Wrote .* nodes of embedded.*Wrote .* nodes of .* into zookeeper/s);
      const coordinator = `--coordinator=zookeeper://${store.address}/pegasus/prod`;
      await terminal.serve(`${at(meta!, names)} ${prod} ${coordinator}`);
      assert.match(await shell(metaAddress, "ls"), /available +t /);
      await terminal.endServers();
    } finally {
      await store.destroy();
    }
  });
});

interface Server {
  readonly name: string;
  readonly node: string;
}

/**
 * Two partitions with the same primary and the same secondaries, of what `app -d` prints, and a server that holds
 * nothing of them.
 *
 * @returns Names of servers; the primary is in the middle of the members.
 */
function loseTwo(
  rows: string,
  servers: readonly Server[],
): { partitions: string[]; members: [string, string, string]; outsider: Server } {
  const alike = new Map<string, string[]>();
  for (const [row, name] of rows.matchAll(/^ *\d+ +(\d+\.\d+) .*$/gm)) {
    const [primary, ...others] = row.match(/127\.0\.0\.1:\d+/g)!;
    const key = [primary, ...others.sort()].join(" ");
    const partitions = [...alike.get(key) ?? [], name!];
    alike.set(key, partitions);
    if (partitions.length < 2) continue;
    const nameOf = (node: string) => servers.find((server) => server.node === node)!.name;
    const members = [nameOf(others[0]!), nameOf(primary!), nameOf(others[1]!)] as const;
    const outsider = servers.find((server) => !row.includes(server.node))!;
    return { partitions, members: [...members], outsider };
  }
  throw new Error(`No two partitions have the same members:\n${rows}`);
}

Deno.test("operations: a lost store of meta, and a partition that nobody leads", async () => {
  const [rebuild] = blocksOf(OPERATIONS, "When meta's store is lost");
  const nobody = blocksOf(OPERATIONS, "A partition that nobody leads")[0]!.trim().split("\n");
  await inTerminal(async (terminal) => {
    const onebox = (...words: string[]) =>
      terminal.paste(words.map((word) => `deno task onebox ${word}`).join("\n"));
    await onebox("start --detach --replicas 4");
    const here = { "10.0.0.1:34601": terminal.meta };
    await terminal.paste('deno task shell -e "create t -p 16; use t; set h s v"');
    await until(terminal, 'deno task shell -e "ls -d"', /available +t +16 +3 .* 16$/m);
    await onebox("stop-one m1");
    Deno.removeSync(`${terminal.dir}/box/m1/data`, { recursive: true });
    await onebox("start-one m1");
    await until(terminal, 'deno task shell -e "cluster_info"', /(127\.0\.0\.1:\d+,? ){4}hold/);
    assert.match(await terminal.paste(at(rebuild!, here)), /available +t +16 +3/);
    await until(terminal, 'deno task shell -e "ls -d"', /available +t +16 +3 .* 16$/m);
    assert.match(await terminal.paste('deno task shell -e "use t; get h s"'), /"v"/);

    const rows = await terminal.paste('deno task shell -e "app t -d"');
    const servers = [...(await onebox("list")).matchAll(/^(r\d) .*?(127\.0\.0\.1:\d+)/gm)];
    const lost = loseTwo(rows, servers.map(([, name, node]) => ({ name: name!, node: node! })));
    // A secondary is missed first, then the primary, so that the other secondary, which stays away, is the last
    // member; no other server helps out meanwhile.
    const [first, primary, last] = lost.members;
    await onebox(`kill ${lost.outsider.name}`, `kill ${first}`);
    await until(terminal, 'deno task shell -e "nodes"', /2 unalive/);
    await onebox(`kill ${primary}`, `kill ${last}`);
    // One that is back before it is missed goes on to lead.
    await until(terminal, 'deno task shell -e "nodes"', /4 unalive/);
    await onebox(...[first, primary, lost.outsider.name].map((name) => `start-one ${name}`));
    // With too few servers alive the cluster is frozen.
    await until(terminal, 'deno task shell -e "nodes"', /1 unalive/);
    const seen = at(nobody[0]!, here);
    for (const [i, partition] of lost.partitions.entries()) {
      const other = { ...here, "2.3": partition };
      const line = i === 0
        ? at(nobody[1]!, other)
        : at(nobody[2]!, { ...other, "10.0.0.3:34801": lost.outsider.node });
      const isListed = partition.replace(".", "\\.");
      await until(terminal, seen, new RegExp(`^${isListed} of`, "m"));
      await terminal.paste(line);
      await until(terminal, seen, new RegExp(`^(?![^]*^${isListed} of)`));
    }
  });
});
