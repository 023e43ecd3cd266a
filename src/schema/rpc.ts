// How one RPC is declared: once, typed for both ends. The declarations are in client_rpc.ts,
// replica_rpc.ts and meta_rpc.ts; registry.ts lists them all; docs/protocol.md describes the frames.

import { type Field, type Struct, struct } from "./field.ts";

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

/** Declares an RPC that is answered. */
export function defineRpc<Q extends AnyShape, A extends AnyShape>(
  declaration: { code: number; name: string; request: Q; response: A },
): Rpc<Struct<Q>, Struct<A>> {
  const { code, name } = declaration;
  return {
    code,
    name,
    kind: "call",
    request: struct(declaration.request) as Field<Struct<Q>>,
    response: struct(declaration.response) as Field<Struct<A>>,
  };
}

/** Declares a message without an answer. */
export function defineMessage<Q extends AnyShape>(
  declaration: { code: number; name: string; body: Q },
): Rpc<Struct<Q>, Record<never, never>> {
  const { code, name } = declaration;
  return {
    code,
    name,
    kind: "oneway",
    request: struct(declaration.body) as Field<Struct<Q>>,
    response: struct({}) as Field<Record<never, never>>,
  };
}
