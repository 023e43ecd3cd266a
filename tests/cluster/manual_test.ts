// The front page's ten minutes and the scripts of docs/examples, run as they stand: what people paste works.

import assert from "node:assert/strict";
import { blocksOf, inTerminal, ROOT } from "./terminal.ts";

Deno.test("the ten minutes of the front page do what it says", async () => {
  const [start, data, failure, bench, look, end] = blocksOf("README.md", "Ten minutes");
  await inTerminal(async (terminal) => {
    assert.match(await terminal.paste(start!), /The cluster serves .*browser: http/s);
    assert.match(await terminal.paste(data!), /"Ada".*10000 rows stored.*10002 rows.*"row 7"/s);
    assert.match(await terminal.paste(failure!), /Killed r2.*"Grace".*Started r2/s);
    const short = bench!.replace(/--operations \d+/g, "--operations 500");
    assert.match(await terminal.paste(short), /0 errors.*0 errors/s);
    assert.match(await terminal.paste(look!), /meta_servers.*127\.0\.0\.1.*temp/s);
    assert.match(await terminal.paste(end!), /Stopped m1, r1, r2, r3.*Removed/s);
  });
});

Deno.test("the scripts export, import and restart a cluster", async () => {
  const scripts = `${ROOT}/docs/examples/scripts`;
  await inTerminal(async (terminal) => {
    await terminal.paste("deno task onebox start --detach");
    const env = { PEGASUS: "deno task", META: terminal.meta };
    const shell = (commands: string) => terminal.paste(`deno task shell -e "${commands}"`);
    await shell("create orders -p 3; use orders; set o1 a 'x y'; set o2 b z");
    assert.match(await terminal.paste(`${scripts}/export_all.sh out`, env), /Exported 2 tables/);
    await shell("drop orders --yes; use temp; set h s v");
    assert.match(await terminal.paste(`${scripts}/import_all.sh out`, env), /Imported 2 tables/);
    assert.match(await shell("use orders; get o1 a; ls"), /"x y".*orders +3 +3/s);
    const restart = "'deno task onebox stop-one @ && deno task onebox start-one @'";
    const said = await terminal.paste(`${scripts}/rolling_restart.sh ${restart} r1 r2 r3`, env);
    assert.match(said, /Started r1.*Started r2.*Started r3.*Restarted 3 servers/s);
    assert.match(await shell("use temp; get h s"), /"v"/);
  });
});
