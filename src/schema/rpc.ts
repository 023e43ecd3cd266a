// How one RPC is declared: once, typed for both ends. The declarations are in client_rpc.ts,
// replica_rpc.ts and meta_rpc.ts; registry.ts lists them all; docs/protocol.md describes the frames.

import { Rank } from "./access.ts";
import { type Field, type Struct, struct } from "./field.ts";
import type { HotCodec } from "./hot_codec.ts";

// deno-lint-ignore no-explicit-any
type AnyShape = Readonly<Record<string, Field<any>>>;

/** How a call travels: `call` is answered; `oneway` is not, and may be lost. */
export type RpcKind = "call" | "oneway";

/** The declaration of one RPC. */
export interface Rpc<Q, A> {
  /** Number in the frame header; 1 .. 65535, never reused. */
  readonly code: number;
  /** Name in logs, metrics and documentation. */
  readonly name: string;
  readonly kind: RpcKind;
  /** Who may send it at all: the least of `Rank`. */
  readonly rank: number;
  /** Whether it changes the cluster: who asked for it, and how it ended, is kept. */
  readonly audited: boolean;
  readonly request: Field<Q>;
  readonly response: Field<A>;
}

/** Any RPC, for tables. */
// deno-lint-ignore no-explicit-any
export type AnyRpc = Rpc<any, any>;

/** The request type of a declared RPC. */
export type RequestOf<R> = R extends Rpc<infer Q, unknown> ? Q : never;

/** The response type of a declared RPC. */
export type ResponseOf<R> = R extends Rpc<unknown, infer A> ? A : never;

/** Who may send an RPC: anybody with a name, administrators, servers. */
export type Access = "user" | "admin" | "server";

const RANK_OF: Readonly<Record<Access, number>> = {
  user: Rank.USER,
  admin: Rank.ADMIN,
  server: Rank.SERVER,
};

/**
 * Who may send an RPC that does not say it. Data requests are for users (the table decides the rest
 * where they are served), what replicas say to each other is for servers, all else is for administrators.
 */
function accessOf(code: number): Access {
  if (code < 150) return "user";
  return code >= 200 && code < 300 ? "server" : "admin";
}

/** Declares an RPC that is answered. `audited`: by default if only administrators may send it. */
export function defineRpc<Q extends AnyShape, A extends AnyShape>(
  declaration: {
    code: number;
    name: string;
    access?: Access;
    audited?: boolean;
    request: Q;
    response: A;
    hot?: { request?: HotCodec<Struct<Q>>; response?: HotCodec<Struct<A>> };
  },
): Rpc<Struct<Q>, Struct<A>> {
  const { code, name, access = accessOf(code), audited = access === "admin" } = declaration;
  return {
    code,
    name,
    kind: "call",
    rank: RANK_OF[access],
    audited,
    request: messageOf(declaration.request, declaration.hot?.request),
    response: messageOf(declaration.response, declaration.hot?.response),
  };
}

/** Declares a message without an answer; servers send it if nothing else is said. */
export function defineMessage<Q extends AnyShape>(
  declaration: {
    code: number;
    name: string;
    access?: Access;
    body: Q;
    hot?: HotCodec<Struct<Q>>;
  },
): Rpc<Struct<Q>, Record<never, never>> {
  const { code, name, access = "server" } = declaration;
  return {
    code,
    name,
    kind: "oneway",
    rank: RANK_OF[access],
    audited: false,
    request: messageOf(declaration.body, declaration.hot),
    response: struct({}) as Field<Record<never, never>>,
  };
}

function messageOf<S extends AnyShape>(shape: S, hot?: HotCodec<Struct<S>>): Field<Struct<S>> {
  const field = struct(shape) as Field<Struct<S>>;
  return hot === undefined ? field : { ...field, hot };
}
