// The script in front of the self-extracting file: where it unpacks to, and what it does not run.

import assert from "node:assert/strict";
import { launcher } from "../../../roles/build/package.ts";

const KEY = "0123456789abcdef";

/** A self-extracting file whose Deno only tells where it is. */
class Package {
  readonly dir = Deno.makeTempDirSync({ prefix: "pegasus-package-test-" });
  readonly #file = `${this.dir}/pegasus`;

  constructor() {
    const content = `${this.dir}/content`;
    Deno.mkdirSync(`${content}/app`, { recursive: true });
    writeProgram(`${content}/deno`, 'echo "$0"');
    const archive = `${this.dir}/content.tar.gz`;
    const args = ["czf", archive, "-C", content, "deno", "app"];
    assert.ok(new Deno.Command("tar", { args }).outputSync().success);
    writeProgram(this.#file, "");
    Deno.writeTextFileSync(this.#file, launcher(KEY));
    Deno.writeFileSync(this.#file, Deno.readFileSync(archive), { append: true });
  }

  /** @returns Where the Deno it runs is, or what it says instead. */
  start(env: Record<string, string>): { code: number; ran: string; said: string } {
    const { code, stdout, stderr } = new Deno.Command("sh", {
      args: [this.#file],
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH")!, TMPDIR: this.dir, ...env },
    }).outputSync();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
    return { code, ran: text(stdout), said: text(stderr) };
  }
}

function writeProgram(path: string, line: string): void {
  Deno.writeTextFileSync(path, `#!/bin/sh\n${line}\n`);
  Deno.chmodSync(path, 0o755);
}

function withPackage(story: (made: Package) => void): void {
  const made = new Package();
  try {
    story(made);
  } finally {
    Deno.removeSync(made.dir, { recursive: true });
  }
}

Deno.test("the self-extracting file unpacks to where it is told, or below the user's home", () => {
  withPackage((made) => {
    const { dir } = made;
    const all = { PEGASUS_HOME: `${dir}/own`, XDG_CACHE_HOME: `${dir}/xdg`, HOME: `${dir}/home` };
    const { PEGASUS_HOME: _, ...cache } = all;
    const places = [
      [all, `${dir}/own`],
      [cache, `${dir}/xdg/pegasus`],
      [{ HOME: all.HOME }, `${dir}/home/.cache/pegasus`],
    ] as const;
    for (const [env, place] of places) {
      for (let start = 0; start < 2; start++) {
        assert.deepEqual(made.start(env), { code: 0, ran: `${place}/${KEY}/deno`, said: "" });
      }
      assert.deepEqual([...Deno.readDirSync(place)].map(({ name }) => name), [KEY]);
    }
  });
});

Deno.test("the self-extracting file runs nothing that another user may have made", () => {
  withPackage((made) => {
    const { dir } = made;
    const own = `${dir}/pegasus-${Deno.uid()}`;
    assert.deepEqual(made.start({}), { code: 0, ran: `${own}/${KEY}/deno`, said: "" });
    assert.equal(Deno.statSync(own).mode! & 0o777, 0o700);
    const refused = () => {
      const { code, ran, said } = made.start({});
      assert.deepEqual([code, ran], [1, ""]);
      assert.match(
        said,
        /^Cannot unpack to .*pegasus-\d+: it belongs to somebody else\. Set PEGASUS_HOME$/,
      );
    };
    // A link leads to where somebody else wants it.
    Deno.renameSync(own, `${dir}/foreign`);
    Deno.symlinkSync(`${dir}/foreign`, own);
    refused();
    Deno.removeSync(own);
    // Only an administrator can give things away.
    if (Deno.uid() !== 0) return;
    Deno.mkdirSync(`${own}/${KEY}`, { recursive: true });
    writeProgram(`${own}/${KEY}/deno`, "echo foreign");
    Deno.chownSync(own, 12_345, 12_345);
    refused();
  });
});
