// Questions to the own core from inside the process, for HTTP pages and metrics: the same requests, with the
// same answers and refusals, as over the network.

import { Err } from "../../src/base/errors.ts";
import type { MetaAnswer, MetaBody, MetaRequest, MetaRequestName } from "../../src/placement/io.ts";
import type { IncomingCall } from "../../src/rpc/contract.ts";
import type { MetaDriver } from "./meta_driver.ts";

/** How a question ended. */
export interface MetaReply<Name extends MetaRequestName> {
  readonly error: number;
  /** With FORWARD_TO_OTHERS the leader, "" = unknown; otherwise for people. */
  readonly detail: string;
  /** Present without an error. */
  readonly answer: MetaAnswer<Name> | undefined;
}

/** Asks the core. */
export type MetaAsk = <Name extends MetaRequestName>(
  name: Name,
  body: MetaBody<Name>,
) => Promise<MetaReply<Name>>;

/** A core that stops never answers. */
const ANSWER_MS_MAX = 2000;

/** Questions to the core behind `driver`. */
export function askOf(driver: Pick<MetaDriver, "request">): MetaAsk {
  return (name, body) =>
    new Promise((resolve) => {
      const fail = (error: number, detail = "") => {
        clearTimeout(timer);
        resolve({ error, answer: undefined, detail });
      };
      const timer = setTimeout(() => fail(Err.TIMEOUT, "Meta does not answer"), ANSWER_MS_MAX);
      const call: IncomingCall<MetaAnswer<typeof name>> = {
        deadline: Infinity,
        peer: "this process",
        reply: (answer) => {
          clearTimeout(timer);
          resolve({ error: Err.OK, detail: "", answer });
        },
        replyBytes: () => fail(Err.INTERNAL, "An encoded answer was not expected"),
        fail,
      };
      driver.request({ name, body } as MetaRequest, call as IncomingCall<never>);
    });
}
