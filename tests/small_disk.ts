// A small disk of its own for a test: a tmpfs, which only root may mount. Filling it is what a full disk is to a
// server: writes fail with ENOSPC, and there is room again when the filler goes.

import { statfsSync } from "node:fs";

const MOUNT = "/usr/bin/mount";

/** Why no disk can be mounted here; `undefined` if one can. */
export function smallDiskMissing(): string | undefined {
  const dir = Deno.makeTempDirSync({ prefix: "pegasus-disk-" });
  try {
    const disk = new SmallDisk(dir, 1);
    disk.unmount();
    return undefined;
  } catch (error) {
    return `No small disks on this machine, tests with full disks did not run: ${
      error instanceof Error ? error.message : String(error)
    }`;
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

/** See the file comment. */
export class SmallDisk {
  readonly path: string;

  /**
   * Mounts it at a directory, made if absent.
   *
   * @param filesMax Files and directories it can hold, itself included. @default Very many
   * @throws {Error} Without the right to.
   */
  constructor(path: string, mebibytes: number, filesMax?: number) {
    this.path = path;
    Deno.mkdirSync(path, { recursive: true });
    const inodes = filesMax === undefined ? "" : `,nr_inodes=${filesMax}`;
    run(MOUNT, ["-t", "tmpfs", "-o", `size=${mebibytes}m${inodes}`, "pegasus-test", path]);
  }

  get #filler(): string {
    return `${this.path}/filler`;
  }

  /** Takes all the room there is, but for `spareBytes`, at once. */
  fill(spareBytes = 0): void {
    // Whoever writes meanwhile takes some of it: until nothing is left.
    for (let i = 0; i < 10; i++) {
      const { bsize, bavail } = statfsSync(this.path);
      const bytes = bavail * bsize - spareBytes;
      if (bytes <= 0) return;
      try {
        run("/usr/bin/fallocate", ["-l", String(bytes), `${this.#filler}.${i}`]);
      } catch (error) {
        if (!/No space left/.test(String(error))) throw error;
      }
    }
  }

  /** Gives the room back. */
  free(): void {
    for (const { name } of [...Deno.readDirSync(this.path)]) {
      if (name.startsWith("filler.")) Deno.removeSync(`${this.path}/${name}`);
    }
  }

  /** Unmounts it; what was on it is gone. */
  unmount(): void {
    run("/usr/bin/umount", ["-l", this.path]);
  }
}

function run(program: string, args: readonly string[]): void {
  const { success, stderr } = new Deno.Command(program, { args: [...args] }).outputSync();
  if (success) return;
  throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr).trim()}`);
}
