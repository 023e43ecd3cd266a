// A thread that runs seeds one after the other, as main.ts orders them.

import { runOrder, type SeedOrder } from "./seed_report.ts";

// deno-lint-ignore no-explicit-any
const port = self as any;

port.onmessage = async ({ data }: { data: SeedOrder }) => port.postMessage(await runOrder(data));
