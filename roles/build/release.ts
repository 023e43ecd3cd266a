// `deno task release`: the executables of one version, named after version and machine, and SHA256SUMS, which
// `sha256sum -c` reads. Words after the task name the machines; without words, this one. Invariant:
// SHA256SUMS names exactly what this run made.

import { VERSION } from "../version.ts";
import { compile, isTarget } from "./compile.ts";

/** Compiles for every target into `dir`, then writes the sums. @throws {Error} At the first that fails. */
export async function release(root: string, targets: readonly string[], dir: string) {
  const sums: string[] = [];
  for (const target of targets) {
    const name = `pegasus-${VERSION}-${target}`;
    await compile(root, target, `${dir}/${name}`);
    const bytes = Deno.readFileSync(`${dir}/${name}`);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const sum = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    sums.push(`${sum}  ${name}\n`);
  }
  Deno.writeTextFileSync(`${dir}/SHA256SUMS`, sums.join(""));
  return sums;
}

if (import.meta.main) {
  const root = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
  if (Deno.args.includes("--help")) {
    console.log("Usage: deno task release [target ...]\n\nTargets: see deno task compile --help");
    Deno.exit(0);
  }
  const targets = Deno.args.length > 0 ? Deno.args : [Deno.build.target];
  const unknown = targets.filter((target) => !isTarget(target));
  if (unknown.length > 0) {
    console.error(`Cannot compile for "${unknown.join('", "')}"; see deno task compile --help`);
    Deno.exit(2);
  }
  try {
    console.log((await release(root, targets, `${Deno.cwd()}/dist`)).join("").trimEnd());
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    Deno.exit(1);
  }
}
