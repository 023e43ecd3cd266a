// Settings of security: who must say who he is, by what, and over what. settings.ts joins all groups
// and explains names. Secrets are named by files, never given: flags are seen by everybody on the
// machine. docs/SECURITY.md.

import { choice, text } from "./field.ts";
import { BOTH, group } from "./group.ts";

/** See the file comment. */
export const SECURITY = group("Security", BOTH, {
  auth: choice(["off", "optional", "required"], {
    default: "off",
    doc: "Whether callers must prove who they are; optional = checked but not demanded, for the " +
      "time of switching it on",
  }),
  clusterSecretFile: text({
    default: "",
    doc:
      "File with the secret by which servers of the cluster know each other; 16 characters or more",
  }),
  tlsCert: text({
    default: "",
    doc: "PEM file with the certificate of this server; with it every connection is TLS, HTTP too",
  }),
  tlsKey: text({ default: "", doc: "PEM file with the key of the certificate" }),
  tlsCa: text({
    default: "",
    doc: "PEM file with the authority that signed the certificates of servers and users",
  }),
  tlsServerName: text({
    default: "pegasus-server",
    pattern: /^[0-9A-Za-z_.@-]{1,64}$/,
    expected: "1 to 64 letters, digits, dots, dashes, underscores or @",
    clusterWide: true,
    doc: "Common name of the certificates of servers; any other name is that of a user",
  }),
  auditFile: text({
    default: "",
    doc:
      "File to which changes of the cluster and refused callers are appended, one JSON object a " +
      "line; empty = they go to the log",
  }),
});

/** What no single setting of the group can check. */
export function securityProblems(
  { auth, clusterSecretFile, tlsCert, tlsKey, tlsCa }: {
    readonly auth: string;
    readonly clusterSecretFile: string;
    readonly tlsCert: string;
    readonly tlsKey: string;
    readonly tlsCa: string;
  },
): string[] {
  const problems: string[] = [];
  if ((tlsCert === "") !== (tlsKey === "")) {
    problems.push(`"tls-cert" and "tls-key" belong together: give both or none`);
  }
  if (tlsCa !== "" && tlsCert === "") {
    problems.push(
      `"tls-ca" needs "tls-cert" and "tls-key": a server shows a certificate of its own`,
    );
  }
  if (auth !== "off" && clusterSecretFile === "" && tlsCa === "") {
    problems.push(
      `"auth" is "${auth}", but servers could not know each other: give "cluster-secret-file", or ` +
        `"tls-cert", "tls-key" and "tls-ca"`,
    );
  }
  if (auth === "off" && clusterSecretFile !== "") {
    problems.push(
      `"cluster-secret-file" without "auth": nobody would be asked for the secret; set "auth" to ` +
        `"required", or to "optional" while it is being switched on`,
    );
  }
  return problems;
}
