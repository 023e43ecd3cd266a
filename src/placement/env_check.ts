// Why a table variable cannot be set, with the one that was perhaps meant.

import { suggestion } from "../config/suggest.ts";
import { envProblem, knownTableEnvs } from "../schema/table_envs.ts";

/** `undefined` if it can be set. */
export function checkEnv(key: string, value: string): string | undefined {
  const problem = envProblem(key, value);
  if (problem === undefined || !problem.startsWith("Unknown")) return problem;
  const hint = suggestion(key, knownTableEnvs().map(([name]) => name));
  return hint === "" ? problem : `Unknown table variable "${key}"${hint}`;
}
