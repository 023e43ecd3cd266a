// A small disk of its own for a test: a tmpfs, which only root may mount. Filling it is what a full disk is to a
// server: writes fail with ENOSPC, and there is room again when the filler goes.

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

  /** Mounts it at a directory, made if absent. @throws {Error} Without the right to. */
  constructor(path: string, mebibytes: number) {
    this.path = path;
    Deno.mkdirSync(path, { recursive: true });
    run(MOUNT, ["-t", "tmpfs", "-o", `size=${mebibytes}m`, "pegasus-test", path]);
  }

  get #filler(): string {
    return `${this.path}/filler`;
  }

  /** Takes all the room there is, but for `spareBytes`. */
  fill(spareBytes = 0): void {
    const file = Deno.openSync(this.#filler, { append: true, create: true });
    try {
      // The last pages in small pieces: a write that does not fit is cut short.
      for (const bytes of [1024 * 1024, 4096]) {
        const zeros = new Uint8Array(bytes);
        try {
          while (file.writeSync(zeros) === bytes);
        } catch (error) {
          if (!/No space left/.test(String(error))) throw error;
        }
      }
      if (spareBytes > 0) file.truncateSync(Math.max(0, file.statSync().size - spareBytes));
    } finally {
      file.close();
    }
  }

  /** Gives the room back. */
  free(): void {
    try {
      Deno.removeSync(this.#filler);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
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
