// `deno task npm`: the client library as a package for Node.js, dist/npm/<name>-<version>.tgz, with JavaScript, types and
// a page. What it holds is what src/client/mod.ts reaches, so nothing of the servers is in it. The compiler
// is TypeScript from the npm registry. Invariant: the package is written only if it compiles with full
// checks. Page: docs/client.md, "Node.js".

import { VERSION } from "../version.ts";

/** Name of the package. */
export const PACKAGE = "@pegasus/client";
/** Tools of the build, never dependencies of the package. */
const TOOLS = ["typescript@5.9.3", "@types/node@20.19.43"];
const ENTRY = "src/client/mod.ts";

const COMPILER_OPTIONS = {
  target: "ES2022",
  module: "NodeNext",
  moduleResolution: "NodeNext",
  lib: ["ES2023", "ESNext.Disposable"],
  types: ["node"],
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  declaration: true,
  rewriteRelativeImportExtensions: true,
  rootDir: "src",
  outDir: "package",
};

/** @returns What it printed. @throws {Error} If it failed, with what it said. */
async function run(words: readonly string[], cwd: string): Promise<string> {
  const [command, ...args] = words;
  const { code, stdout, stderr } = await new Deno.Command(command!, { args, cwd }).output();
  const decoder = new TextDecoder();
  if (code === 0) return decoder.decode(stdout);
  const said = `${decoder.decode(stdout)}${decoder.decode(stderr)}`.trim();
  throw new Error(`"${words.join(" ")}" failed:\n${said}`);
}

/** Modules of the project that the entry reaches, as paths from `root`, and npm packages they import. */
async function reached(root: string): Promise<{ modules: string[]; packages: Set<string> }> {
  interface Info {
    readonly modules: readonly {
      readonly local?: string;
      readonly dependencies?: readonly { readonly specifier: string }[];
    }[];
  }
  const info: Info = JSON.parse(await run([Deno.execPath(), "info", "--json", ENTRY], root));
  const modules: string[] = [];
  const packages = new Set<string>();
  for (const { local, dependencies } of info.modules) {
    if (local === undefined || !local.startsWith(`${root}/src/`)) continue;
    modules.push(local.slice(root.length + 1));
    for (const { specifier } of dependencies ?? []) {
      if (!/^(\.|node:)/.test(specifier)) packages.add(specifier);
    }
  }
  return { modules, packages };
}

/** The exact versions of npm packages, from deno.json. */
function versionsOf(root: string, names: ReadonlySet<string>): Record<string, string> {
  const { imports } = JSON.parse(Deno.readTextFileSync(`${root}/deno.json`));
  const versions: Record<string, string> = {};
  for (const name of names) {
    const match = /^npm:(@?[^@]+)@([^/]+)/.exec(String(imports[name]));
    if (match === null) throw new Error(`deno.json does not say which version of "${name}" to use`);
    versions[match[1]!] = match[2]!;
  }
  return versions;
}

function manifest(dependencies: Record<string, string>) {
  return {
    name: PACKAGE,
    version: VERSION,
    description: "Client of the pegasus key-value store",
    license: "Apache-2.0",
    type: "module",
    engines: { node: ">=20.15" },
    exports: { ".": { types: "./client/mod.d.ts", default: "./client/mod.js" } },
    types: "./client/mod.d.ts",
    sideEffects: false,
    dependencies,
  };
}

/** Declarations keep the names of sources; outside the project there are only their outputs. */
function renameImports(dir: string): void {
  for (const entry of Deno.readDirSync(dir)) {
    const path = `${dir}/${entry.name}`;
    if (entry.isDirectory) renameImports(path);
    else if (path.endsWith(".d.ts")) {
      const text = Deno.readTextFileSync(path);
      Deno.writeTextFileSync(path, text.replace(/((?:from |import\()"\.[^"]*)\.ts"/g, '$1.js"'));
    }
  }
}

/** The package's page: how to use it, and where the rest is. */
function page(): string {
  return `# ${PACKAGE}

Client of the pegasus key-value store for Node.js 20.15 or newer.

\`\`\`js
import { openCluster } from "${PACKAGE}";

const cluster = openCluster({ meta: ["127.0.0.1:34601"] });
const users = cluster.table("users");
await users.set("user:1", "name", "Ada", { ttl: 3600 });
const name = await users.get("user:1", "name"); // Uint8Array or undefined
for await (const row of users.scan("user:1")) console.log(row.sortKey, row.value);
await cluster.close();
\`\`\`

Options, outcomes and retries are described in docs/client.md of the project, the operations in docs/data_api.md.
`;
}

/**
 * Builds the package of the project in `root`, whose packages must be installed.
 *
 * @param dir Absolute path of the directory for the archive.
 * @returns Absolute path of the archive.
 * @throws {Error} If something does not compile, or a tool is missing.
 */
export async function buildPackage(root: string, dir: string): Promise<string> {
  const staging = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "pegasus-npm-" }));
  try {
    const { modules, packages } = await reached(root);
    for (const module of modules) {
      Deno.mkdirSync(`${staging}/${module.replace(/\/[^/]*$/, "")}`, { recursive: true });
      Deno.copyFileSync(`${root}/${module}`, `${staging}/${module}`);
    }
    const dependencies = versionsOf(root, packages);
    const write = (name: string, content: unknown) =>
      Deno.writeTextFileSync(`${staging}/${name}`, `${JSON.stringify(content, undefined, 2)}\n`);
    write("package.json", { private: true, type: "module", dependencies });
    write("tsconfig.json", { compilerOptions: COMPILER_OPTIONS, include: ["src"] });
    const quiet = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
    await run(["npm", "install", ...quiet, "--save-dev", ...TOOLS], staging);
    await run(["node", "node_modules/typescript/bin/tsc", "-p", "."], staging);
    renameImports(`${staging}/package`);
    write("package/package.json", manifest(dependencies));
    Deno.writeTextFileSync(`${staging}/package/README.md`, page());
    Deno.copyFileSync(`${root}/LICENSE`, `${staging}/package/LICENSE`);
    Deno.mkdirSync(dir, { recursive: true });
    const args = ["npm", "pack", "--silent", "--pack-destination", dir];
    return `${dir}/${(await run(args, `${staging}/package`)).trim().split("\n").at(-1)}`;
  } finally {
    Deno.removeSync(staging, { recursive: true });
  }
}

if (import.meta.main) {
  const root = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
  try {
    console.log(await buildPackage(root, `${Deno.cwd()}/dist/npm`));
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    Deno.exit(1);
  }
}
