// The handshake of one connection as a state machine without a socket: who speaks what when, whether
// both ends fit, and who the dialer is. Invariants: an acceptor that requires authentication opens
// only for a certificate of its authority or a proven password or secret; a dialer that has
// credentials opens only for a server that proved to know their verifier; the name a dialer gives
// itself counts only if it is a server. docs/protocol.md, "Handshake", "Who is it".

import { Err } from "../base/errors.ts";
import { CLUSTER_USER, Rank, TRUSTED, userNameProblem } from "../schema/access.ts";
import { decode, encode } from "../schema/codec.ts";
import type { Admitted } from "./access_book.ts";
import { FrameKind } from "./frame.ts";
import { decodeHello, encodeHello, type Hello, misfit } from "./hello.ts";
import type { RpcContext } from "./options.ts";
import {
  challenge,
  type Exchange,
  isProven,
  NONCE_BYTES,
  proof,
  randomPlain,
  sameBytes,
  signatureOf,
} from "./scram.ts";
import type { AcceptSecurity } from "./security.ts";
import type { Verifier } from "../schema/access.ts";

/** What to do after a frame: send one, open, or close with a reason. */
export interface HandshakeStep {
  readonly send?: { readonly kind: number; readonly body: Uint8Array };
  readonly isOpen?: boolean;
  readonly fault?: { readonly code: number; readonly reason: string };
}

/** Whom everybody is who was not asked. */
const UNASKED: Admitted = { principal: TRUSTED, proven: undefined };

const WHO_ARE_YOU =
  "This cluster asks who you are: give a user and password (shell: --user NAME), a client " +
  "certificate, or the cluster's secret";

function fault(reason: string, code: number = Err.PROTOCOL_ERROR): HandshakeStep {
  return { fault: { code, reason } };
}

function unreadable(what: string, error: unknown): HandshakeStep {
  return fault(`The ${what} cannot be read: ${(error as Error).message}`);
}

/** The accepting end. */
export class AcceptorHandshake {
  /** Who the dialer is, once open. */
  admitted: Admitted = UNASKED;
  /** Name of the peer for logs; "" = nothing better than its address. */
  peerName = "";
  readonly #context: RpcContext;
  readonly #certified: string;
  #hello: Hello | undefined;
  #asked:
    | { readonly exchange: Exchange; readonly verifier: Verifier; readonly known: boolean }
    | undefined;

  /** @param certified Common name of the dialer's verified certificate; "" = it showed none. */
  constructor(context: RpcContext, certified: string) {
    this.#context = context;
    this.#certified = certified;
  }

  /** Takes a frame of the dialer. */
  take(kind: number, body: Uint8Array): HandshakeStep {
    if (kind === FrameKind.HELLO && this.#hello === undefined) return this.#onHello(body);
    if (kind === FrameKind.AUTH && this.#asked !== undefined) return this.#onProof(body);
    return fault(`Frame of kind ${kind} before the handshake`);
  }

  #onHello(body: Uint8Array): HandshakeStep {
    let hello: Hello;
    try {
      hello = decodeHello(body);
    } catch (error) {
      return unreadable("handshake", error);
    }
    this.#hello = hello;
    const reason = misfit(this.#context.identity, hello);
    if (reason !== undefined) return fault(reason, Err.PROTOCOL_VERSION);
    const { accept } = this.#context;
    if (accept === undefined || accept.auth === "off") return this.#open(UNASKED);
    if (hello.user !== "") return this.#ask(hello);
    return this.#onCertificate(accept);
  }

  /** A name that no user can have is nobody's: `@cluster` would be a server, and "-" everybody who has no right. */
  #onCertificate({ auth, book, tlsServerName }: AcceptSecurity): HandshakeStep {
    const certified = this.#certified;
    const isServer = certified !== "" && certified === tlsServerName;
    const problem = certified === "" ? WHO_ARE_YOU : userNameProblem(certified);
    if (isServer || problem === undefined) {
      return this.#open(book.admit(isServer ? CLUSTER_USER : certified, undefined, auth));
    }
    if (auth === "optional") return this.#open(UNASKED);
    return fault(problem, Err.UNAUTHENTICATED);
  }

  #ask(hello: Hello): HandshakeStep {
    const { user, cluster, node, role, nonce } = hello;
    if (nonce.length < NONCE_BYTES) return fault("The handshake has no nonce");
    const { verifier, known } = this.#context.accept!.book.verifierOf(user);
    const { salt, iterations } = verifier;
    const acceptorNonce = randomPlain(NONCE_BYTES);
    // The frame's bytes are a view of what was read.
    const dialerNonce = nonce.slice();
    const exchange = { cluster, node, role, user, dialerNonce, acceptorNonce, salt, iterations };
    this.#asked = { exchange, verifier, known };
    const question = encode(challenge, { nonce: acceptorNonce, salt, iterations });
    return { send: { kind: FrameKind.AUTH, body: question } };
  }

  #onProof(body: Uint8Array): HandshakeStep {
    const { exchange, verifier, known } = this.#asked!;
    this.#asked = undefined;
    let given: Uint8Array;
    try {
      given = decode(proof, body, "proof").proof;
    } catch (error) {
      return unreadable("proof", error);
    }
    const isRight = isProven(verifier, exchange, given);
    if (!isRight || !known) {
      const what = exchange.user === CLUSTER_USER
        ? "The secret is not the one of this cluster: compare the files of --cluster-secret-file"
        : `Wrong user or password for ${JSON.stringify(exchange.user.slice(0, 64))}`;
      return fault(what, Err.UNAUTHENTICATED);
    }
    const { book, auth } = this.#context.accept!;
    const admitted = book.admit(exchange.user, verifier, auth);
    return this.#open(admitted, signatureOf(verifier, exchange));
  }

  #open(admitted: Admitted, signature?: Uint8Array): HandshakeStep {
    const { identity } = this.#context;
    this.admitted = admitted;
    if (admitted.principal.rank === Rank.SERVER) this.peerName = this.#hello!.node;
    const said = signature === undefined ? {} : { signature };
    return { send: { kind: FrameKind.HELLO, body: encodeHello(identity, said) }, isOpen: true };
  }
}

/** The dialing end. */
export class DialerHandshake {
  peerName = "";
  readonly admitted: Admitted = UNASKED;
  readonly #context: RpcContext;
  readonly #nonce: Uint8Array;
  #expected: Uint8Array | undefined;

  constructor(context: RpcContext) {
    this.#context = context;
    this.#nonce = context.dial?.prover === undefined ? new Uint8Array(0) : randomPlain(NONCE_BYTES);
  }

  /** Body of the first frame. */
  hello(): Uint8Array {
    const { identity, dial } = this.#context;
    const user = dial?.prover?.user ?? "";
    return encodeHello(identity, { user, nonce: this.#nonce });
  }

  /** Takes a frame of the acceptor. */
  take(kind: number, body: Uint8Array): HandshakeStep {
    if (kind === FrameKind.HELLO) return this.#onHello(body);
    if (kind === FrameKind.AUTH && this.#expected === undefined) return this.#onChallenge(body);
    return fault(`Frame of kind ${kind} before the handshake`);
  }

  #onChallenge(body: Uint8Array): HandshakeStep {
    const { identity, dial } = this.#context;
    const prover = dial?.prover;
    if (prover === undefined) return fault("The server asks for a proof that was not offered");
    try {
      const asked = decode(challenge, body, "challenge");
      const refusal = prover.refusal(asked);
      if (refusal !== undefined) return fault(refusal, Err.UNAUTHENTICATED);
      const { cluster, node, role } = identity;
      const answer = prover.prove({
        ...{ cluster, node, role, user: prover.user, dialerNonce: this.#nonce },
        acceptorNonce: asked.nonce,
        salt: asked.salt.slice(),
        iterations: asked.iterations,
      });
      this.#expected = answer.signature;
      return { send: { kind: FrameKind.AUTH, body: encode(proof, { proof: answer.proof }) } };
    } catch (error) {
      return unreadable("challenge", error);
    }
  }

  #onHello(body: Uint8Array): HandshakeStep {
    let hello: Hello;
    try {
      hello = decodeHello(body);
    } catch (error) {
      return unreadable("handshake", error);
    }
    this.peerName = hello.node;
    const reason = misfit(this.#context.identity, hello);
    if (reason !== undefined) return fault(reason, Err.PROTOCOL_VERSION);
    const { dial } = this.#context;
    if (this.#expected !== undefined) {
      if (sameBytes(this.#expected, hello.signature)) return { isOpen: true };
      return fault("The server does not know the password it asked for", Err.UNAUTHENTICATED);
    }
    if (dial?.prover === undefined || !dial.strict) return { isOpen: true };
    const text = `The server does not ask who "${dial.prover.user}" is: it runs with --auth=off, ` +
      `or is not the server it should be; leave the user out if that is meant`;
    return fault(text, Err.UNAUTHENTICATED);
  }
}
