// Settings of a running server: what they are now, and the change of those that may change. Invariant: a
// value gets in only through its declaration's check, together with all others (checkTogether), and only if
// the declaration says that a running server takes it. Page: docs/config.md.

import type { ServerRole } from "./group.ts";
import { checkTogether, type Declared, declaredSettings, type Settings } from "./settings.ts";
import { suggestion } from "./suggest.ts";

/** One setting as people are shown it. */
export interface SettingView {
  readonly name: string;
  readonly section: string;
  readonly type: string;
  readonly value: string;
  readonly default: string;
  readonly allowed: string;
  /** A running server takes a new value. */
  readonly mutable: boolean;
  readonly clusterWide: boolean;
  readonly description: string;
}

/** How a change ended. */
export type ChangeResult =
  | { readonly kind: "changed"; readonly name: string; readonly before: string; now: string }
  | { readonly kind: "unknown" | "refused"; readonly reason: string };

type Values = Record<string, Record<string, unknown>>;

/** See the file comment. */
export class LiveSettings {
  readonly #declared: readonly Declared[];
  #settings: Settings;
  readonly #listeners: ((settings: Settings) => void)[] = [];

  constructor(role: ServerRole, settings: Settings) {
    this.#declared = declaredSettings(role);
    this.#settings = settings;
  }

  get settings(): Settings {
    return this.#settings;
  }

  /** Runs after every change, with all settings. */
  onChange(take: (settings: Settings) => void): void {
    this.#listeners.push(take);
  }

  /** Every setting of the role. */
  list(): SettingView[] {
    return this.#declared.map((declared) => this.#view(declared));
  }

  /** One setting, or why there is none. */
  get(name: string): SettingView | string {
    const declared = this.#declared.find(({ key }) => key === name);
    return declared === undefined ? this.#unknown(name) : this.#view(declared);
  }

  /** Changes one setting. `input`: the value as in a flag. */
  change(name: string, input: string): ChangeResult {
    const declared = this.#declared.find(({ key }) => key === name);
    if (declared === undefined) return { kind: "unknown", reason: this.#unknown(name) };
    const { field, group } = declared;
    if (!field.reload) {
      const names = this.#declared.filter((other) => other.field.reload).map(({ key }) => key);
      const reason =
        `Setting "${name}" takes effect only at a start: change the flag or the file ` +
        `and restart; a running server takes ${names.join(", ")}`;
      return { kind: "refused", reason };
    }
    const parsed = field.parse(input);
    if (!parsed.ok) {
      const reason = `Bad value of "${name}": got "${input}", expected ${parsed.expected}`;
      return { kind: "refused", reason };
    }
    const before = this.#view(declared).value;
    const values = { ...this.#settings } as unknown as Values;
    values[group] = { ...values[group], [declared.name]: parsed.value };
    const next = values as unknown as Settings;
    const problems = checkTogether(next);
    if (problems.length > 0) return { kind: "refused", reason: problems.join("; ") };
    this.#settings = next;
    for (const take of this.#listeners) take(next);
    return { kind: "changed", name, before, now: this.#view(declared).value };
  }

  #unknown(name: string): string {
    const hint = suggestion(name, this.#declared.map(({ key }) => key));
    return `Unknown setting "${name}"${
      hint || "; server_config in the shell, or /configs, lists all"
    }`;
  }

  #view({ group, name, key, field }: Declared): SettingView {
    const value = (this.#settings as unknown as Values)[group]![name];
    return {
      name: key,
      section: group,
      type: field.kind,
      value: field.format(value),
      default: field.format(field.default),
      allowed: field.bounds,
      mutable: field.reload,
      clusterWide: field.clusterWide,
      description: field.doc,
    };
  }
}
