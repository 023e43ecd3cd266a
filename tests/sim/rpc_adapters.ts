// The simulator's network as the interfaces of src/rpc/contract.ts, so that production code can listen and call
// on it.

import { Err, StoreError } from "../../src/base/errors.ts";
import type { NodeId } from "../../src/base/ids.ts";
import type { CallDone, IncomingCall, RpcClient, RpcServer } from "../../src/rpc/contract.ts";
import { decode } from "../../src/schema/codec.ts";
import type { AnyRpc, Rpc } from "../../src/schema/rpc.ts";
import type { Responder, SimRpc } from "./rpc.ts";

/** Sees requests and answers of a listening side. */
export type AnswerObserver = (rpc: AnyRpc, request: unknown, response: unknown) => void;

/** The listening side. `onBatch` runs after each message: the place to plan a flush. */
export function rpcServerOf(
  rpc: SimRpc,
  onBatch: () => void = () => {},
  onAnswer: AnswerObserver = () => {},
): RpcServer {
  return {
    handle(declared, handler) {
      rpc.handle(declared as AnyRpc, (from, body, responder) => {
        const call = incoming(declared as AnyRpc, from, body, responder, onAnswer);
        (handler as (request: unknown, call: IncomingCall<unknown>) => void)(body, call);
        onBatch();
      });
    },
    onBatchEnd: () => {},
    listen: () => Promise.resolve(rpc.address),
    close: () => Promise.resolve(),
  };
}

function incoming(
  rpc: AnyRpc,
  peer: NodeId,
  request: unknown,
  responder: Responder,
  onAnswer: AnswerObserver,
): IncomingCall<unknown> {
  const reply = (response: unknown) => {
    onAnswer(rpc, request, response);
    responder.reply(response);
  };
  return {
    deadline: Infinity,
    peer,
    reply,
    replyBytes: (bytes) => reply(decode(rpc.response, bytes, rpc.name)),
    fail: (code, detail) => responder.fail(code, detail),
  };
}

/** Sees answers of a calling side. */
export type ResponseObserver = (rpc: AnyRpc, response: unknown) => void;

/** The calling side. */
export function rpcClientOf(rpc: SimRpc, onResponse: ResponseObserver = () => {}): RpcClient {
  const start = <Q, A>(
    to: string,
    declared: Rpc<Q, A>,
    body: Q,
    timeoutMs: number,
    done: CallDone<A>,
  ) => {
    rpc.start(to, declared, body, timeoutMs, (error, response, detail) => {
      if (error === Err.OK) onResponse(declared as AnyRpc, response);
      done(error, response, detail);
    });
  };
  const client: RpcClient = {
    start,
    startEncoded(to, declared, bytes, timeoutMs, done) {
      start(to, declared, decode(declared.request, bytes, declared.name), timeoutMs, done);
    },
    call: (to, declared, body, timeoutMs) =>
      new Promise((resolve, reject) => {
        start(to, declared, body, timeoutMs, (error, response, detail) => {
          if (error === Err.OK && response !== undefined) resolve(response);
          else reject(new StoreError(error, detail));
        });
      }),
    send: (to, declared, body) => rpc.send(to, declared as AnyRpc, body),
    onPeer: () => {},
    disconnect: () => {},
    close: () => Promise.resolve(),
  };
  rpc.onPeerEvent = (peer, event) => client.onPeer(peer, event);
  return client;
}
