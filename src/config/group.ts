// A group of settings: what belongs together in the help, in docs/config.md and in the code.

import type { AnySetting } from "./field.ts";

/** Server roles that read settings. */
export type ServerRole = "meta" | "replica";

/** Settings that belong together. */
export interface Group {
  readonly title: string;
  readonly roles: readonly ServerRole[];
  /** Goes before every name of the group: "rpc" makes `inflightMax` the flag `--rpc-inflight-max`. */
  readonly prefix?: string;
  readonly fields: Readonly<Record<string, AnySetting>>;
}

/** Declares a group and keeps the types of its fields. */
export function group<const Fields extends Readonly<Record<string, AnySetting>>>(
  title: string,
  roles: readonly ServerRole[],
  fields: Fields,
  prefix?: string,
): Group & { readonly fields: Fields } {
  return prefix === undefined ? { title, roles, fields } : { title, roles, fields, prefix };
}

/** Roles of settings that every server reads. */
export const BOTH: readonly ServerRole[] = ["meta", "replica"];
