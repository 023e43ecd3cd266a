// Profiles of the running process on demand: what the processor does, what the heap holds. Both come from
// V8 itself and are opened with Chrome's developer tools. Invariant: at most one profile runs at a time,
// for it slows the server down.

import { Session } from "node:inspector";
import { getHeapSnapshot } from "node:v8";
import { type Answer, type Handler, problem } from "./route.ts";

const SECONDS_DEFAULT = 10;
const SECONDS_MAX = 300;

/** Handlers of the two paths. */
export function profileHandlers(): { readonly heap: Handler; readonly cpu: Handler } {
  let isBusy = false;
  const alone = async (work: () => Promise<Answer> | Answer): Promise<Answer> => {
    if (isBusy) return problem(409, "Another profile is being taken: try again later");
    isBusy = true;
    try {
      return await work();
    } finally {
      isBusy = false;
    }
  };
  return {
    heap: () => alone(heapSnapshot),
    cpu: ({ args }) => {
      const given = args.get("seconds") ?? String(SECONDS_DEFAULT);
      const seconds = /^\d{1,3}$/.test(given) ? Number(given) : NaN;
      if (!(seconds >= 1 && seconds <= SECONDS_MAX)) {
        return problem(400, `Argument "seconds" is "${given}": expected 1 to ${SECONDS_MAX}`);
      }
      return alone(() => cpuProfile(seconds));
    },
  };
}

/** Older runtimes have the names but not the functions. */
function unable(error: unknown): Answer {
  const reason = error instanceof Error ? error.message : String(error);
  return problem(
    501,
    `This runtime cannot profile itself (${reason}): start the server with "deno run --inspect" ` +
      "and connect Chrome's developer tools",
  );
}

function heapSnapshot(): Answer {
  let chunks: ReturnType<typeof getHeapSnapshot>;
  try {
    chunks = getHeapSnapshot();
  } catch (error) {
    return unable(error);
  }
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      for await (const chunk of chunks) controller.enqueue(new Uint8Array(chunk));
      controller.close();
    },
  });
  return file(body, "heap.heapsnapshot");
}

async function cpuProfile(seconds: number): Promise<Answer> {
  let session: Session;
  try {
    session = new Session();
    session.connect();
  } catch (error) {
    return unable(error);
  }
  try {
    await post(session, "Profiler.enable");
    await post(session, "Profiler.start");
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const { profile } = await post(session, "Profiler.stop") as { profile: unknown };
    return file(JSON.stringify(profile), "cpu.cpuprofile");
  } finally {
    session.disconnect();
  }
}

function post(session: Session, method: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    session.post(method, (error: Error | null, result?: unknown) => {
      if (error === null || error === undefined) resolve(result);
      else reject(error);
    });
  });
}

function file(body: string | ReadableStream<Uint8Array>, name: string): Answer {
  return {
    body,
    contentType: "application/json",
    headers: { "content-disposition": `attachment; filename="${name}"` },
  };
}
