// The page's loop: asks the meta server for its overview every two seconds and hands it to the views.
// When meta does not answer, or another meta server leads now, the page says so instead of showing old
// numbers as if they were new.

import { showCharts } from "./charts.js";
import {
  showBalance,
  showChanges,
  showFacts,
  showPartitions,
  showServers,
  showVerdict,
} from "./views.js";
import { chooseTables, showTables } from "./views.js";

const ASK_EVERY_MS = 2000;
const ANSWER_MS_MAX = 5000;

const chosen = document.getElementById("table");
const freshness = document.getElementById("freshness");
let answeredAt = 0;

/** Asks once. Throws with a reason in words. */
async function ask() {
  const table = encodeURIComponent(chosen.value);
  const signal = AbortSignal.timeout(ANSWER_MS_MAX);
  const options = { redirect: "manual", signal };
  const response = await fetch(`/meta/overview${table && `?table=${table}`}`, options);
  if (response.type === "opaqueredirect") {
    // Another meta server leads now: this one sends the page to its dashboard.
    location.reload();
    throw new Error("Another meta server leads now");
  }
  const overview = await response.json();
  if (!response.ok) throw new Error(overview.error ?? `The answer is ${response.status}`);
  return overview;
}

function show(overview) {
  showFacts(overview);
  showVerdict(overview.problems, overview);
  showServers(overview);
  chooseTables(chosen, overview.tables);
  showCharts(overview.history);
  showTables(overview.tables);
  showPartitions(overview);
  showBalance(overview);
  showChanges(overview);
}

async function step() {
  try {
    show(await ask());
    answeredAt = Date.now();
    freshness.className = "";
    freshness.textContent = `Updated ${new Date().toLocaleTimeString()}`;
    document.body.dataset.state = "shown";
  } catch (error) {
    const reason = error instanceof TypeError || error.name === "TimeoutError"
      ? "The meta server does not answer"
      : error.message;
    const since = answeredAt === 0
      ? ""
      : `; what is below is from ${new Date(answeredAt).toLocaleTimeString()}`;
    freshness.className = "stale";
    freshness.textContent = "Not up to date";
    showVerdict([{ level: "critical", text: reason + since }]);
  }
  setTimeout(step, ASK_EVERY_MS);
}

chosen.addEventListener("change", () => showCharts([]));
void step();
