// `deno task package`: the program as one self-extracting file, dist/pegasus, for where no runtime stub for
// `deno task compile` can be had. It is a shell script with an archive behind it: the Deno that made it, the
// sources and the packages. Invariant: an extracted directory appears under its name complete or not at
// all, and its name tells its content, so that starts at the same time and other versions do no harm; nobody but the
// user who starts it can have put it there.

import { V8_FLAGS } from "../v8_flags.ts";
import { PERMISSIONS, unusedIn } from "./compile.ts";

/** Parts of the project that the program consists of. */
const PARTS = ["deno.json", "deno.lock", "roles", "src", "storage", "node_modules"];

/** The script in front of the archive. @param key Names the content of the archive. */
export function launcher(key: string): string {
  const lines = [
    "#!/bin/sh",
    "set -eu",
    'self=$(readlink -f "$0")',
    "base=${PEGASUS_HOME:-${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}}",
    'if [ -z "${PEGASUS_HOME:-}" ] && [ -n "$base" ]; then base=$base/pegasus; fi',
    'if [ -z "$base" ]; then',
    "  # A service without a home. Everybody may make names there: it must be ours, and no link.",
    "  base=${TMPDIR:-/tmp}/pegasus-$(id -u)",
    '  mkdir -m 700 "$base" 2>/dev/null || true',
    '  if [ -L "$base" ] || [ ! -d "$base" ] || [ ! -O "$base" ]; then',
    '    echo "Cannot unpack to $base: it belongs to somebody else. Set PEGASUS_HOME" >&2',
    "    exit 1",
    "  fi",
    "fi",
    `dir=$base/${key}`,
    'if [ ! -x "$dir/deno" ]; then',
    '  part=$dir.$$; mkdir -p "$part"',
    '  tail -n +@FIRST@ "$self" | tar xzf - -C "$part"',
    "  # Whoever comes second throws its copy away.",
    '  mv -T "$part" "$dir" 2>/dev/null || rm -rf "$part"',
    "fi",
    'export PEGASUS_PACKAGE="$self" DENO_DIR="$dir/cache" DENO_NO_UPDATE_CHECK=1',
    `exec "$dir/deno" run --quiet --no-prompt --cached-only ${V8_FLAGS} ${PERMISSIONS.join(" ")} ` +
    '"$dir/app/roles/main.ts" "$@"',
  ];
  return lines.join("\n").replace("@FIRST@", String(lines.length + 1)) + "\n";
}

function run(command: string, args: readonly string[]): void {
  const { code, stderr } = new Deno.Command(command, { args: [...args] }).outputSync();
  if (code === 0) return;
  throw new Error(`"${command}" failed: ${new TextDecoder().decode(stderr).trim()}`);
}

/**
 * Packs the project in `root`, whose packages must be installed, with the running Deno.
 *
 * @param output Absolute path of the file to write.
 * @throws {Error} If a part is missing, or if the file does not start.
 */
export async function pack(root: string, output: string): Promise<void> {
  Deno.mkdirSync(output.replace(/\/[^/]*$/, ""), { recursive: true });
  const dir = Deno.makeTempDirSync({ prefix: "pegasus-package-" });
  try {
    const app = `${dir}/content/app`;
    Deno.mkdirSync(app, { recursive: true });
    run("cp", ["-a", ...PARTS.map((part) => `${root}/${part}`), app]);
    for (const path of unusedIn(app, Deno.build.target)) {
      // Test tools stay: Deno checks that every package of the lock file is there.
      if (path.includes("/classic-level/")) Deno.removeSync(path, { recursive: true });
    }
    Deno.copyFileSync(Deno.execPath(), `${dir}/content/deno`);
    Deno.chmodSync(`${dir}/content/deno`, 0o755);
    run("tar", ["czf", `${dir}/content.tar.gz`, "-C", `${dir}/content`, "deno", "app"]);
    const archive = Deno.readFileSync(`${dir}/content.tar.gz`);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", archive));
    const key = [...digest.subarray(0, 8)].map((b) => b.toString(16).padStart(2, "0")).join("");
    const part = `${output}.part`;
    Deno.writeTextFileSync(part, launcher(key));
    Deno.writeFileSync(part, archive, { append: true });
    Deno.chmodSync(part, 0o755);
    run("env", [`PEGASUS_HOME=${dir}/try`, part, "--version"]);
    Deno.renameSync(part, output);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

if (import.meta.main) {
  const root = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
  const output = `${Deno.cwd()}/dist/pegasus`;
  try {
    await pack(root, output);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    Deno.exit(1);
  }
  const mebibytes = (Deno.statSync(output).size / 2 ** 20).toFixed(0);
  console.log(`${output}: ${mebibytes} MiB, self-extracting, for ${Deno.build.target}`);
}
