// The flags of the onebox: how they are written, and what they mean.

import { type AnySetting, bool, int, type Parsed, text } from "../../src/config/field.ts";
import { COORDINATOR } from "../../src/config/meta_settings.ts";
import { absolutePath, realPath } from "../paths.ts";

/** Flags of all commands. */
export const FLAGS = {
  dir: text({ default: ".onebox", pattern: /./, expected: "a path", doc: "Where everything is" }),
  replicas: int({ default: 3, min: 1, max: 20, doc: "Replica servers" }),
  metas: int({ default: 1, min: 1, max: 5, doc: "Meta servers; several need --coordinator" }),
  coordinator: COORDINATOR,
  "port-base": int({
    default: 34601,
    min: 0,
    max: 65_000,
    doc: "Port of the first meta server; replica servers from 200 above; 0 = free ports",
  }),
  config: text({ default: "", doc: "TOML file with settings for all servers" }),
  auth: bool({
    default: false,
    doc: "Callers must prove who they are; makes a secret and the user admin in DIR/security",
  }),
  tls: bool({ default: false, doc: "Encrypt connections; makes certificates in DIR/security" }),
  shards: int({ default: 0, min: 0, max: 64, doc: "Threads of each replica server that serve" }),
  detach: bool({ default: false, doc: "Start in the background" }),
  json: bool({ default: false, doc: "Print data as JSON" }),
} as const;

/** Values of the flags. */
export interface Options {
  /** The one name of the directory: servers are recognised by it. */
  readonly dir: string;
  readonly replicas: number;
  readonly metas: number;
  readonly coordinator: string;
  readonly portBase: number;
  /** Absolute path, or "". */
  readonly config: string;
  readonly shards: number;
  readonly auth: boolean;
  readonly tls: boolean;
  readonly detach: boolean;
  readonly json: boolean;
  /** Flags that were written, not defaults. */
  readonly given: ReadonlySet<string>;
}

/** Reads the flags that were given. @param problems Takes one message per wrong value. */
export function readOptions(given: ReadonlyMap<string, string>, problems: string[]): Options {
  const values: Record<string, unknown> = {};
  for (const [name, field] of Object.entries<AnySetting>(FLAGS)) {
    const written = given.get(name);
    const parsed: Parsed<unknown> = written === undefined
      ? { ok: true, value: field.default }
      : field.parse(written);
    if (parsed.ok) values[name] = parsed.value;
    else problems.push(`Bad value of --${name}: got "${written}", expected ${parsed.expected}`);
  }
  const portBase = values["port-base"];
  const dir = realPath(String(values["dir"]));
  const file = String(values["config"]);
  const config = file === "" ? "" : absolutePath(file);
  return { ...values, portBase, dir, config, given: new Set(given.keys()) } as unknown as Options;
}
