// The RPCs of a meta server: what the core answers is handed to it, the rest is answered here.
// See docs/meta.md, "Questions".

import { Err, StoreError } from "../../src/base/errors.ts";
import { META_REQUESTS, type MetaRequest, type MetaRequestName } from "../../src/placement/io.ts";
import type { RpcServer } from "../../src/rpc/contract.ts";
import { ServerInfo } from "../../src/schema/client_rpc.ts";
import { RemoteCommand } from "../../src/schema/meta_rpc.ts";
import { ExportState } from "../../src/schema/operator_rpc.ts";
import type { AnyRpc } from "../../src/schema/rpc.ts";
import { forbidden } from "./authorize.ts";
import { type RemoteCommands, runRemote } from "../remote_commands.ts";
import { coreCommands } from "./meta_commands.ts";
import type { MetaDriver } from "./meta_driver.ts";

/** Registers a handler for every RPC of meta. */
export function registerHandlers(
  server: RpcServer,
  driver: MetaDriver,
  about: { readonly version: string; readonly startedAt: number; readonly httpPort: number },
  commands: () => RemoteCommands,
): void {
  for (const name of Object.keys(META_REQUESTS) as MetaRequestName[]) {
    const rpc: AnyRpc = META_REQUESTS[name];
    server.handle(rpc, (body, call) => {
      const request = { name, body } as MetaRequest;
      const reason = forbidden(driver.core, request, call.who);
      if (reason !== undefined) return call.fail(Err.ACL_DENY, reason);
      driver.request(request, call);
    });
  }
  server.handle(
    ServerInfo,
    (_request, call) => call.reply({ role: "meta", ...about, shardCount: 0 }),
  );
  server.handle(ExportState, (_request, call) => {
    driver.exportState().then((text) => call.reply({ text }), (error) => {
      const known = error instanceof StoreError;
      call.fail(known ? error.code : Err.STORE_FAILED, known ? error.detail : String(error));
    });
  });
  server.handle(RemoteCommand, ({ command, args }, call) => {
    const all = { ...commands(), ...coreCommands(driver.core) };
    runRemote(all, command, args).then((output) => call.reply({ output }), (error) => {
      const known = error instanceof StoreError;
      call.fail(known ? error.code : Err.INTERNAL, known ? error.detail : String(error));
    });
  });
}
