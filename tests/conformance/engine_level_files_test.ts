// A LevelDB that can have no more files: a flush says so, loses nothing, and works when it can.

import assert from "node:assert/strict";
import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { openLevelEngine } from "../../storage/level_engine.ts";
import { SmallDisk, smallDiskMissing } from "../small_disk.ts";

const missing = smallDiskMissing();
if (missing !== undefined) console.warn(missing);

Deno.test({
  name: "LevelEngine that can make no more files does not flush, and goes on",
  ignore: missing !== undefined,
  async fn() {
    const root = Deno.makeTempDirSync({ prefix: "pegasus-inodes-" });
    const disk = new SmallDisk(`${root}/disk`, 64, 64);
    try {
      const engine = await openLevelEngine(`${disk.path}/data`);
      const row = { type: "put", key: utf8("key"), value: utf8("value") } as const;
      await engine.write([row]);
      const fillers: string[] = [];
      for (let isFull = false; !isFull;) {
        const path = `${disk.path}/filler.${fillers.length}`;
        try {
          Deno.writeFileSync(path, new Uint8Array(0));
          fillers.push(path);
        } catch {
          isFull = true;
        }
      }
      for (let i = 0; i < 3; i++) await assert.rejects(engine.flush(), { kind: "noFile" });
      await engine.write([{ ...row, key: utf8("other") }]);
      for (const path of fillers) Deno.removeSync(path);
      await engine.flush();
      for (const key of ["key", "other"]) assert.equal(fromUtf8(engine.get(utf8(key))!), "value");
      await engine.close();
    } finally {
      disk.unmount();
      Deno.removeSync(root, { recursive: true });
    }
  },
});
