// How programs that talk to a cluster (shell, bench, onebox) are told who they are and whom to trust:
// the same flags everywhere, secrets from files, the environment or the terminal, never from a flag.

import { type AnySetting, text } from "../src/config/field.ts";
import { CLUSTER_USER } from "../src/schema/access.ts";
import type { ClientSecurityOptions } from "../src/client/mod.ts";
import { fileProblem } from "./file_problem.ts";
import { readSecret, readTls } from "./security.ts";

/** Flags by their names in options. */
export const SECURITY_FLAGS = {
  user: text({ default: "", doc: "User to log in as; also the variable PEGASUS_USER" }),
  passwordFile: text({
    default: "",
    doc: "File with the password; else the variable PEGASUS_PASSWORD, else the terminal asks",
  }),
  clusterSecretFile: text({
    default: "",
    doc: "File with the cluster's secret: log in as an operator who may do everything",
  }),
  tlsCa: text({ default: "", doc: "PEM file with the authority of the servers: connect by TLS" }),
  tlsCert: text({ default: "", doc: "PEM file with a certificate that says who you are" }),
  tlsKey: text({ default: "", doc: "PEM file with the key of the certificate" }),
} as const satisfies Record<string, AnySetting>;

/** Values of {@link SECURITY_FLAGS}. */
export type SecurityFlags = { readonly [Name in keyof typeof SECURITY_FLAGS]: string };

/** No flag given. */
export const NO_SECURITY_FLAGS = Object.fromEntries(
  Object.keys(SECURITY_FLAGS).map((name) => [name, ""]),
) as SecurityFlags;

/** What is wrong with the flags together; "" if nothing is. */
function problemOf({ user, passwordFile, clusterSecretFile, tlsCert, tlsKey }: SecurityFlags) {
  if (clusterSecretFile !== "" && user !== "") {
    return "--user and --cluster-secret-file are two ways to log in: give one";
  }
  if (passwordFile !== "" && user === "") return "--password-file needs --user";
  if ((tlsCert === "") !== (tlsKey === "")) return "--tls-cert and --tls-key belong together";
  return "";
}

/**
 * Reads what the flags name.
 *
 * @param ask Asks the terminal for a password; `undefined` = there is none.
 * @throws {Error} If flags do not go together, or a file cannot be used.
 */
export async function readClientSecurity(
  flags: SecurityFlags,
  ask?: (question: string) => Promise<string>,
): Promise<ClientSecurityOptions> {
  const user = flags.user === "" && flags.clusterSecretFile === ""
    ? Deno.env.get("PEGASUS_USER") ?? ""
    : flags.user;
  const problem = problemOf({ ...flags, user });
  if (problem !== "") throw new Error(problem);
  const tls = readTls(flags);
  const auth = await readCredentials({ ...flags, user }, ask);
  return { ...(tls === undefined ? {} : { tls }), ...(auth === undefined ? {} : { auth }) };
}

async function readCredentials(
  { user, passwordFile, clusterSecretFile }: SecurityFlags,
  ask: ((question: string) => Promise<string>) | undefined,
): Promise<ClientSecurityOptions["auth"]> {
  if (clusterSecretFile !== "") {
    const password = readSecret(clusterSecretFile, "cluster-secret-file");
    return { user: CLUSTER_USER, password };
  }
  if (user === "") return undefined;
  if (passwordFile !== "") return { user, password: readPassword(passwordFile) };
  const given = Deno.env.get("PEGASUS_PASSWORD");
  if (given !== undefined) return { user, password: given };
  if (ask === undefined) {
    throw new Error(
      `The password of "${user}" is missing: give --password-file or the variable PEGASUS_PASSWORD`,
    );
  }
  return { user, password: await ask(`Password of ${user}: `) };
}

/** The password in a file, without the line's end. @throws {Error} If there is none. */
export function readPassword(path: string): string {
  let password: string;
  try {
    password = Deno.readTextFileSync(path).replace(/\r?\n$/, "");
  } catch (error) {
    throw fileProblem("read", `the password file "${path}"`, error);
  }
  if (password !== "") return password;
  throw new Error(`The password file "${path}" is empty`);
}
