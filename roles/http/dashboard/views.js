// How the overview looks: problems in words, servers, tables, the partition map, recent changes. Everything
// from the cluster enters the page as text, never as markup, so a table's name cannot be a script.

import { compact } from "./charts.js";

const LEVELS = {
  critical: { sign: "✖", word: "Critical" },
  warning: { sign: "▲", word: "Warning" },
  info: { sign: "●", word: "Note" },
};

const HEALTH = {
  healthy: { sign: "", word: "healthy" },
  degraded: { sign: "▲", word: "a member is missing" },
  unwritable: { sign: "!", word: "too few members, no writes" },
  unreadable: { sign: "✖", word: "no primary, no reads or writes" },
};

/** A cell is small: from so many partitions on, the map has more rows. */
const COLUMNS_MAX = 16;
const SERVERS_IN_MAP_MAX = 40;

function element(name, { text, className, title } = {}, children = []) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  if (title !== undefined) made.title = title;
  made.append(...children);
  return made;
}

/** 99.98 %: a share that is not whole never looks like it. */
function percent(share) {
  return `${Math.floor(share * 10_000) / 100} %`;
}

function find(selector) {
  return document.querySelector(selector);
}

function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at++;
  }
  return `${value >= 100 || at === 0 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

function milliseconds(value) {
  return value === null ? "-" : value.toFixed(value < 10 ? 2 : 0);
}

/** Columns of words; the others are numbers. */
const WORDS = new Set(["state", "health", "where", "what"]);

/** A table of rows of cells: strings or elements. */
function tableOf(headings, rows) {
  const head = element(
    "tr",
    {},
    headings.map((text) => element("th", { text, className: WORDS.has(text) ? "words" : "" })),
  );
  const body = rows.map(({ cells, className }) =>
    element(
      "tr",
      { className },
      cells.map((cell) => cell instanceof Node ? cell : element("td", { text: cell })),
    )
  );
  return element("table", {}, [element("thead", {}, [head]), element("tbody", {}, body)]);
}

/** Replaces what a holder shows, and leaves where somebody scrolled to. */
function replace(holder, ...children) {
  const { scrollTop, scrollLeft } = holder;
  holder.replaceChildren(...children);
  holder.scrollTop = scrollTop;
  holder.scrollLeft = scrollLeft;
}

/** The line beside the name. */
export function showFacts({ cluster, leader, level, nodes, tables, availability }) {
  document.title = `pegasus ${cluster}`;
  find("#cluster").textContent = cluster;
  const alive = nodes.filter((node) => node.alive).length;
  const partitions = tables.reduce((sum, table) => sum + table.partitions.length, 0);
  find("#facts").textContent = [
    `${alive} of ${counted(nodes.length, "server")} alive`,
    counted(tables.length, "table"),
    counted(partitions, "partition"),
    `leader ${leader}`,
    `level ${level}`,
    ...(availability.hour === null ? [] : [`available ${percent(availability.hour)} (last hour)`]),
  ].join(" · ");
}

/** What is wrong. Without an overview the page is not up to date. */
export function showVerdict(problems, overview) {
  const worst = ["critical", "warning", "info"].find((level) =>
    problems.some((problem) => problem.level === level)
  );
  const verdict = find("#verdict");
  verdict.className = worst ?? "good";
  verdict.querySelector("h2").textContent = headline(problems, worst, overview);
  verdict.querySelector("ul").replaceChildren(...problems.map(({ level, text }) => {
    const { sign, word } = LEVELS[level];
    return element("li", {}, [
      element("b", { text: `${sign} ${word}`, className: `${level}-text` }),
      ` ${text}`,
    ]);
  }));
}

function headline(problems, worst, overview) {
  if (overview === undefined) return "✖ The state of the cluster is not known";
  if (overview.nodes.length === 0) return "● No replica server has joined yet";
  if (worst === undefined) {
    const { nodes, tables } = overview;
    const partitions = tables.reduce((sum, table) => sum + table.partitions.length, 0);
    return `✔ Healthy: ${counted(nodes.length, "server")} alive, ${
      partitions === 0 ? "no tables yet" : `${counted(partitions, "partition")} with all members`
    }`;
  }
  const { sign } = LEVELS[worst];
  const number = problems.filter(({ level }) => level === worst).length;
  if (worst === "critical") {
    const stopped = overview.tables.flatMap(({ partitions }) => partitions)
      .filter(({ health }) => health === "unreadable" || health === "unwritable").length;
    const served = stopped === 0
      ? "all reads and writes work"
      : `${counted(stopped, "partition")} not fully served`;
    return `${sign} ${counted(number, "critical problem")}; ${served}`;
  }
  return worst === "warning"
    ? `${sign} Serving, with ${counted(number, "warning")}`
    : `${sign} Serving, with ${counted(number, "note")}`;
}

/** Servers. */
export function showServers({ nodes }) {
  const headings = ["server", "state", "primaries", "secondaries", "learning"];
  headings.push("data", "log", "disk free", "memory", "CPU", "errors/s");
  const rows = nodes.map((node) => {
    const { alive, numbers } = node;
    const state = alive
      ? element("td", {
        text: node.draining ? "✔ draining" : "✔ alive",
        className: "good-text words",
      })
      : element("td", {
        text: `✖ DEAD ${age(node.beaconAgeMs)}`,
        className: "critical-text words",
      });
    const told = numbers === null
      ? ["-", "-", disk(node), "-", "-", "-"].map((text) => nothing(text, alive))
      : [
        bytes(numbers.engineBytes),
        numbers.logFailed ? "✖ failed" : bytes(numbers.logBytes),
        disk(node),
        bytes(numbers.memoryBytes),
        numbers.cpu === null ? "-" : `${Math.round(numbers.cpu * 100)} %`,
        numbers.errorsPerSecond === null ? "-" : compact(numbers.errorsPerSecond),
      ];
    const secondaries = node.replicas - node.primaries;
    const counts = [node.primaries, secondaries, node.learners].map(String);
    return { cells: [node.node, state, ...counts, ...told], className: alive ? "" : "dead" };
  });
  replace(find("#servers .scroll"), tableOf(headings, rows));
}

function nothing(text, alive) {
  const title = alive ? "It has not told its numbers yet" : "It is dead";
  return element("td", { text, className: "quiet", title });
}

function disk({ diskTotalBytes, diskFreeBytes }) {
  if (diskTotalBytes === 0) return "-";
  return `${bytes(diskFreeBytes)} (${Math.round(100 * diskFreeBytes / diskTotalBytes)} %)`;
}

function age(ms) {
  const seconds = Math.round(ms / 1000);
  return seconds < 120 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`;
}

/** The tables that the charts can show. */
export function chooseTables(select, tables) {
  const names = ["", ...tables.map(({ name }) => name)];
  const shown = [...select.options].map(({ value }) => value);
  if (names.join("\n") === shown.join("\n")) return;
  const { value } = select;
  select.replaceChildren(...names.map((name) => {
    const option = element("option", { text: name || "all tables" });
    option.value = name;
    return option;
  }));
  select.value = names.includes(value) ? value : "";
}

/** Tables with their rates. */
export function showTables(tables) {
  const headings = ["table", "health", "reads/s", "P50 ms", "P99 ms", "writes/s", "P50 ms"];
  headings.push("P99 ms", "RCU/s", "WCU/s", "data");
  const rows = tables.map(({ name, partitions, rates, bytes: size }) => {
    const ill = partitions.filter(({ health }) => health !== "healthy").length;
    const isBad = partitions.some(({ health }) =>
      health === "unwritable" || health === "unreadable"
    );
    const health = ill === 0
      ? element("td", { text: "✔ healthy", className: "good-text words" })
      : element("td", {
        text: `${isBad ? "✖" : "▲"} ${ill}/${partitions.length} not healthy`,
        className: `${isBad ? "critical" : "warning"}-text words`,
      });
    const reads = [compact(rates.readsPerSecond), rates.readP50Ms, rates.readP99Ms];
    const writes = [compact(rates.writesPerSecond), rates.writeP50Ms, rates.writeP99Ms];
    const numbers = [...reads, ...writes].map((value) =>
      typeof value === "string" ? value : milliseconds(value)
    );
    const units = [rates.readUnitsPerSecond, rates.writeUnitsPerSecond].map(compact);
    return { cells: [name, health, ...numbers, ...units, bytes(size)] };
  });
  replace(find("#tables"), tableOf(headings, rows));
}

/** The map: a row for each server, a column for each partition, the role as a letter. */
export function showPartitions({ tables, nodes, hotspots }) {
  const hot = new Set(hotspots.map(({ gpid }) => gpid));
  const legend = [
    ...["P primary", "S secondary", "L learning", "† member on a dead server"],
    "◆ asked for much more than the others",
    ...Object.values(HEALTH).filter(({ sign }) => sign !== "")
      .map(({ sign, word }) => `${sign} ${word}`),
  ];
  find("#partitions .legend").replaceChildren(
    ...legend.map((text) => element("span", { text, className: "quiet" })),
  );
  const maps = tables.flatMap((table) => {
    const parts = [];
    for (let at = 0; at < table.partitions.length; at += COLUMNS_MAX) {
      parts.push(mapOf(table, table.partitions.slice(at, at + COLUMNS_MAX), nodes, hot));
    }
    return parts;
  });
  const none = element("p", { text: "No tables yet", className: "quiet" });
  replace(find("#partitions .scroll"), ...(maps.length > 0 ? maps : [none]));
}

function mapOf({ name }, partitions, nodes, hot) {
  const heads = partitions.map((partition) => {
    const { partition: id, health, index, ballot, readsPerSecond, writesPerSecond } = partition;
    const { sign, word } = HEALTH[health];
    const load = readsPerSecond === null
      ? ""
      : `, ${compact(readsPerSecond)} reads/s, ${compact(writesPerSecond)} writes/s`;
    const isHot = hot.has(id);
    const title = `${id}: ${word}, ballot ${ballot}${load}${isHot ? ", hot" : ""}`;
    const text = `${index}${sign}${isHot ? "◆" : ""}`;
    return element("td", { text, className: isHot ? `${health} hot` : health, title });
  });
  const rows = nodes.slice(0, SERVERS_IN_MAP_MAX).map(({ node, alive }) => {
    const cells = partitions.map((partition) => roleCell(partition, node, alive));
    const text = alive ? node : `✖ ${node} dead`;
    const className = alive ? "" : "critical-text";
    return element("tr", {}, [element("th", { text, className }), ...cells]);
  });
  const head = element("tr", {}, [element("th", { text: `table ${name}` }), ...heads]);
  return element("table", { className: "map" }, [head, ...rows]);
}

function roleCell(partition, node, alive) {
  const { health, partition: id } = partition;
  const dead = alive ? "" : "†";
  if (partition.primary === node) {
    const title = `${id}: primary on ${node}`;
    return element("td", { text: `P${dead}`, className: `primary ${health}`, title });
  }
  if (partition.secondaries.includes(node)) {
    const title = `${id}: secondary on ${node}`;
    return element("td", { text: `S${dead}`, className: health, title });
  }
  if (partition.learners.includes(node)) {
    return element("td", { text: "L", className: "learner", title: `${id}: learning on ${node}` });
  }
  return element("td", { text: "·", className: "none" });
}

const MOVES = {
  movePrimary: "leadership moves",
  copyPrimary: "primary is copied",
  copySecondary: "secondary is copied",
};

/** What moves, and what would move next. */
export function showBalance({ balance, level }) {
  const { running, waitsFor, moving, next } = balance;
  const now = moving > 0
    ? `${counted(moving, "partition")} moving now. `
    : running
    ? "Running. "
    : level === "lively"
    ? "Always on. "
    : "";
  const plan = waitsFor !== ""
    ? `Nothing can move: ${waitsFor}.`
    : next.length === 0
    ? "Servers carry equal shares."
    : `${counted(next.length, "move")} in the next round` +
      (running || level === "lively" ? "." : '; "balance" in the shell starts it.');
  find("#balance p").textContent = now + plan;
  const rows = next.map(({ partition, kind, from, to }) => ({
    cells: [partition, MOVES[kind] ?? kind, from, to],
  }));
  const holder = find("#balance .scroll");
  if (rows.length === 0) replace(holder);
  else replace(holder, tableOf(["partition", "what", "from", "to"], rows));
}

const CHANGE_WORDS = {
  ASSIGN_PRIMARY: "became the first primary",
  UPGRADE_TO_PRIMARY: "became primary",
  PRIMARY_FORCE_UPDATE_BALLOT: "took a new ballot",
  ADD_SECONDARY: "is to become secondary",
  ADD_SECONDARY_FOR_LB: "is to become secondary, for balance",
  UPGRADE_TO_SECONDARY: "became secondary",
  DOWNGRADE_TO_SECONDARY: "stepped down to secondary",
  DOWNGRADE_TO_INACTIVE: "is no member any more",
  REMOVE: "was removed",
  DROP_PARTITION: "was dropped with its table",
};

/** Changes of configurations and servers, newest first. */
export function showChanges({ changes, tables }) {
  const names = new Map(tables.map(({ id, name }) => [String(id), name]));
  const rows = changes.map(({ at, event, details }) => {
    const { subject, text, bad } = changeWords(event, details, names);
    const cells = [new Date(at).toLocaleTimeString([], { hour12: false }), subject, text];
    return { cells, className: bad ? "warning" : "" };
  });
  const none = document.createElement("p");
  none.textContent = "None since this meta server leads.";
  const shown = rows.length === 0 ? none : tableOf(["time", "where", "what"], rows);
  replace(find("#changes .scroll"), shown);
}

function changeWords(event, details, names) {
  if (event === "table") {
    return { subject: String(details.name), text: `Table is ${details.status}`, bad: false };
  }
  if (event === "level") {
    return { subject: "meta", text: `Function level is ${details.level}`, bad: false };
  }
  if (event === "config") {
    const [id] = String(details.partition).split(".");
    const table = names.get(id);
    const subject = `${details.partition}${table === undefined ? "" : ` ${table}`}`;
    const words = CHANGE_WORDS[details.change] ?? details.change;
    const bad = details.primary === "" || details.change === "DOWNGRADE_TO_INACTIVE";
    const isItself = details.primary === details.node;
    const primary = details.primary === "" ? ", no primary now" : `, primary ${details.primary}`;
    const text = `${details.node} ${words}${isItself ? "" : primary}, ballot ${details.ballot}`;
    return { subject, text, bad };
  }
  const node = String(details.node ?? "");
  switch (event) {
    case "nodeDead":
      return { subject: node, text: "Server is dead", bad: true };
    case "nodeAlive":
      return { subject: node, text: "Server is alive", bad: false };
    case "nodeRestarted":
      return { subject: node, text: "Server restarted", bad: true };
    case "leading":
      return { subject: "meta", text: "This meta server leads", bad: false };
    case "noCandidate":
      return { subject: String(details.partition ?? ""), text: "Nobody can lead it", bad: true };
  }
  const rest = Object.entries(details).map(([key, value]) => `${key} ${value}`).join(", ");
  return { subject: event, text: rest, bad: false };
}
