// Certificates for a cluster on one machine, for trying TLS out and for tests: an authority, one
// certificate for all servers, one per user. Made with the openssl program. For real clusters
// docs/SECURITY.md shows the same steps with an authority that is kept elsewhere.

/** Files of one certificate. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

/** Days until they have to be made again. */
const DAYS = "3650";
const SERVER_NAMES = "DNS:localhost,IP:127.0.0.1,IP:::1";

async function openssl(args: readonly string[]): Promise<void> {
  const command = new Deno.Command("openssl", { args: [...args], stdout: "null", stderr: "piped" });
  let output: Deno.CommandOutput;
  try {
    output = await command.output();
  } catch (cause) {
    throw new Error("Cannot make certificates: the program openssl is needed", { cause });
  }
  if (output.success) return;
  const reason = new TextDecoder().decode(output.stderr).trim();
  throw new Error(`Cannot make certificates: openssl ${args[0]} says: ${reason}`);
}

async function makeKey(path: string): Promise<void> {
  await openssl(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path]);
  // Whoever reads the key is the server.
  Deno.chmodSync(path, 0o600);
}

/** Makes an authority in `dir`. @returns Path of its certificate, `--tls-ca` of everybody. */
export async function makeAuthority(dir: string): Promise<string> {
  Deno.mkdirSync(dir, { recursive: true, mode: 0o700 });
  await makeKey(`${dir}/ca.key`);
  const subject = ["-subj", "/CN=pegasus test authority"];
  const files = ["-key", `${dir}/ca.key`, "-out", `${dir}/ca.pem`];
  await openssl(["req", "-x509", "-new", "-days", DAYS, ...subject, ...files]);
  return `${dir}/ca.pem`;
}

/**
 * Makes a certificate signed by the authority in `dir`.
 *
 * @param name Common name: of a user, or that of the setting `tls-server-name`.
 * @param isServer Whether it is for the loopback addresses of this machine.
 */
export async function makeCertificate(
  dir: string,
  name: string,
  isServer: boolean,
): Promise<CertificateFiles> {
  const [cert, key, request, extensions] = ["pem", "key", "csr", "ext"]
    .map((suffix) => `${dir}/${name}.${suffix}`) as [string, string, string, string];
  await makeKey(key);
  await openssl(["req", "-new", "-key", key, "-subj", `/CN=${name}`, "-out", request]);
  const names = isServer ? `subjectAltName=${SERVER_NAMES}\n` : "";
  const usage = `extendedKeyUsage=clientAuth${isServer ? ",serverAuth" : ""}\n`;
  Deno.writeTextFileSync(extensions, `${names}${usage}`);
  const authority = ["-CA", `${dir}/ca.pem`, "-CAkey", `${dir}/ca.key`, "-CAcreateserial"];
  const files = ["-in", request, "-extfile", extensions, "-out", cert];
  await openssl(["x509", "-req", "-days", DAYS, ...authority, ...files]);
  Deno.removeSync(request);
  Deno.removeSync(extensions);
  return { cert, key };
}
