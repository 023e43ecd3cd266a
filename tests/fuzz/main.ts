// deno task fuzz: hostile bytes against everything that reads bytes of others.
//
//   --minutes M   how long in all (default 1)       --target T   only this one; repeat for several
//   --seed S      another stream of inputs          --cases N    per target instead of a time
//   --input FILE  with --target: this input alone, as a failure has written it
//
// Exit code 0: no rule was broken. 1: one was; the input is in a file that --input takes.

import type { FuzzNews, FuzzOrder } from "./fuzz_worker.ts";
import { targetOf, TARGETS } from "./targets.ts";

interface Flags {
  minutes: number;
  seed: string;
  cases: number;
  targets: string[];
  input: string | undefined;
}

/** No news for so long, ms: an input never ends. */
const SILENCE_MS = 20_000;
const INPUT_BYTES_MAX = 128 * 1024;

function parseFlags(args: readonly string[]): Flags {
  const flags: Flags = { minutes: 1, seed: "1", cases: Infinity, targets: [], input: undefined };
  for (let i = 0; i < args.length; i += 2) {
    const [name, value] = [args[i]!, args[i + 1]];
    if (value === undefined) usage(`${name} needs a value`);
    if (name === "--minutes" && Number(value) > 0) flags.minutes = Number(value);
    else if (name === "--cases" && Number(value) > 0) flags.cases = Number(value);
    else if (name === "--seed") flags.seed = value;
    else if (name === "--target") flags.targets.push(targetOf(value).name);
    else if (name === "--input") flags.input = value;
    else usage(`Cannot use ${name} ${value}`);
  }
  if (flags.targets.length === 0) flags.targets = TARGETS.map(({ name }) => name);
  return flags;
}

function usage(problem: string): never {
  console.error(`${problem}; flags: --minutes M --seed S --target T --cases N --input FILE`);
  Deno.exit(2);
}

/** Runs one target. @returns False if a rule was broken. */
function run(order: FuzzOrder): Promise<boolean> {
  const current = new SharedArrayBuffer(INPUT_BYTES_MAX);
  const worker = new Worker(new URL("./fuzz_worker.ts", import.meta.url), { type: "module" });
  return new Promise((resolve) => {
    let silence: ReturnType<typeof setTimeout>;
    const end = (isGood: boolean) => {
      clearTimeout(silence);
      worker.terminate();
      resolve(isGood);
    };
    const watch = () => {
      clearTimeout(silence);
      silence = setTimeout(() => {
        const bytes = new Uint8Array(current).slice();
        const length = new DataView(bytes.buffer).getUint32(0, true);
        end(failed(order, `No end within ${SILENCE_MS} ms`, bytes.slice(4, 4 + length)));
      }, SILENCE_MS);
    };
    worker.onmessage = ({ data: news }: MessageEvent<FuzzNews>) => {
      watch();
      if (news.kind === "failed") end(failed(order, news.message, news.input));
      if (news.kind !== "done") return;
      const rate = Math.round(news.cases / Math.max(0.001, news.ms / 1000));
      console.log(
        `${order.target.padEnd(12)} ${String(news.cases).padStart(10)} cases ` +
          `${String(rate).padStart(8)}/s ${String(news.outcomes).padStart(6)} outcomes  ok`,
      );
      end(true);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      end(failed(order, event.message, new Uint8Array(0)));
    };
    watch();
    worker.postMessage({ order, current });
  });
}

function failed(order: FuzzOrder, message: string, input: Uint8Array): false {
  const file = Deno.makeTempFileSync({ prefix: `fuzz-${order.target}-` });
  Deno.writeFileSync(file, input);
  console.error(`${order.target.padEnd(12)} FAILED: ${message}`);
  console.error(`  again: deno task fuzz --target ${order.target} --input ${file}`);
  return false;
}

async function main(): Promise<void> {
  const flags = parseFlags(Deno.args);
  const input = flags.input === undefined ? undefined : Deno.readFileSync(flags.input);
  const ms = flags.cases < Infinity ? Infinity : flags.minutes * 60_000 / flags.targets.length;
  let isGood = true;
  for (const target of flags.targets) {
    const order = { target, seed: flags.seed, input, ms, cases: flags.cases };
    isGood = await run(order) && isGood;
  }
  const rss = Math.round(Deno.memoryUsage().rss / 2 ** 20);
  console.log(`Seed ${flags.seed}; memory of the process at the end: ${rss} MiB`);
  if (!isGood) Deno.exit(1);
}

await main();
