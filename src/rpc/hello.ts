// The handshake: what both ends say about themselves in their first frame, and whether they fit.
// Invariant: no request is dispatched and none is sent before both ends found that they fit.
// docs/protocol.md, "Frames".

import { decode, encode } from "../schema/codec.ts";
import { bytes, type Of, str, struct, u16, withDefault } from "../schema/field.ts";
import type { RpcIdentity } from "./options.ts";

/**
 * Protocol version this program speaks. Raised when a message changes in a way old peers misread.
 */
export const PROTOCOL_VERSION = 1;
/** Oldest protocol version this program still speaks. */
const PROTOCOL_VERSION_MIN = 1;
/** Largest body of a HELLO, bytes: strangers get no more. */
export const HELLO_BYTES_MAX = 4096;

const NOTHING = new Uint8Array(0);

const hello = struct({
  version: u16,
  versionMin: u16,
  cluster: str,
  node: str,
  role: str,
  /** Of a dialer who can prove it; "" = nobody in particular, or whom the certificate names. */
  user: withDefault(str, ""),
  nonce: withDefault(bytes, NOTHING),
  /** Of an acceptor who was asked to prove that it knows the user. */
  signature: withDefault(bytes, NOTHING),
});

/** The body of a HELLO frame. */
export type Hello = Of<typeof hello>;

/** What a HELLO says about authentication. */
export type HelloProof = Partial<Pick<Hello, "user" | "nonce" | "signature">>;

/** Encodes our own HELLO. */
export function encodeHello(identity: RpcIdentity, said: HelloProof = {}): Uint8Array {
  const { cluster, node, role } = identity;
  return encode(hello, {
    version: PROTOCOL_VERSION,
    versionMin: PROTOCOL_VERSION_MIN,
    cluster,
    node,
    role,
    user: said.user ?? "",
    nonce: said.nonce ?? NOTHING,
    signature: said.signature ?? NOTHING,
  });
}

/** Decodes a peer's HELLO. @throws {Error} If the bytes are not one. */
export function decodeHello(body: Uint8Array): Hello {
  return decode(hello, body, "hello");
}

/** Why the peer does not fit, in words for its log; `undefined` if it does. */
export function misfit(own: RpcIdentity, peer: Hello): string | undefined {
  if (peer.version < PROTOCOL_VERSION_MIN || peer.versionMin > PROTOCOL_VERSION) {
    return `Protocol versions do not overlap: ours ${PROTOCOL_VERSION_MIN}..${PROTOCOL_VERSION}, ` +
      `theirs ${peer.versionMin}..${peer.version}`;
  }
  if (own.cluster !== "" && peer.cluster !== "" && own.cluster !== peer.cluster) {
    return `Clusters differ: ours is "${own.cluster}", theirs is "${peer.cluster}"`;
  }
  return undefined;
}
