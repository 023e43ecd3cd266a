// The two charts: requests per second, and how long they took. Drawn by uPlot, which the page loads as the
// global `uPlot`. Colours come from the page's style, so they follow dark and light.

const { uPlot } = globalThis;

const RATES = [
  { label: "reads", key: "readsPerSecond", color: "--info" },
  { label: "writes", key: "writesPerSecond", color: "--warning" },
];
const LATENCIES = [
  { label: "read P99", key: "readP99Ms", color: "--info" },
  { label: "read P50", key: "readP50Ms", color: "--info", dash: [4, 3] },
  { label: "write P99", key: "writeP99Ms", color: "--warning" },
  { label: "write P50", key: "writeP50Ms", color: "--warning", dash: [4, 3] },
];
const HEIGHT = 132;
/** What is drawn at least: an idle cluster does not look like a storm of tiny numbers. */
const RATE_MAX_MIN = 10;
/** From zero, evenly. */
const LINEAR = { range: (_plot, _low, high) => [0, Math.max(RATE_MAX_MIN, (high ?? 0) * 1.1)] };
/** By powers of ten: P50 and P99 are far apart, and both matter. */
const LOGARITHMIC = {
  distr: 3,
  range: (_plot, low, high) => [
    10 ** Math.floor(Math.log10(Math.max(0.01, low ?? 0.1))),
    10 ** Math.ceil(Math.log10(Math.max(1, (high ?? 10) * 1.01))),
  ],
};

/** Lines of a logarithmic chart: powers of ten. */
function powersOfTen(_plot, _axis, low, high) {
  const powers = [];
  for (let at = Math.ceil(Math.log10(low)); at <= Math.log10(high); at++) powers.push(10 ** at);
  return powers;
}

let charts = [];

function make(id, title, lines, y, unit) {
  const holder = document.getElementById(id);
  const heading = document.createElement("h3");
  heading.textContent = title;
  holder.replaceChildren(heading);
  const axis = { stroke: resolved("--quiet"), grid: { stroke: resolved("--line"), width: 1 } };
  const options = {
    width: holder.clientWidth,
    height: HEIGHT,
    cursor: { y: false },
    scales: { y },
    axes: [
      { ...axis, size: 24, space: 60, values: (_plot, seconds) => seconds.map(clockTime) },
      {
        ...axis,
        size: 44,
        values: (_plot, values) => values.map((value) => value === null ? "" : compact(value)),
        ...(y === LOGARITHMIC ? { splits: powersOfTen } : {}),
      },
    ],
    series: [
      { label: "time", value: (_plot, seconds) => seconds === null ? "" : clockTime(seconds) },
      ...lines.map(({ label, color: name, dash }) => ({
        label,
        stroke: resolved(name),
        width: 1.5,
        points: { show: false },
        value: (_plot, value) => value === null ? "-" : `${compact(value)}${unit}`,
        ...(dash === undefined ? {} : { dash }),
      })),
    ],
  };
  const plot = new uPlot(options, [[], ...lines.map(() => [])], holder);
  return { plot, holder, lines, heading, title, unit };
}

/** A colour of the style as a canvas knows it: light-dark() means nothing there. */
function resolved(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const answer = getComputedStyle(probe).color;
  probe.remove();
  return answer;
}

function clockTime(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
}

/** 950, 1.2k, 3.4M. */
export function compact(value) {
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (value >= 1e4) return `${Math.round(value / 1e3)}k`;
  if (value >= 1e3) return `${Number((value / 1e3).toFixed(1))}k`;
  if (value >= 10 || Number.isInteger(value)) return String(Math.round(value));
  return String(Number(value.toFixed(value < 1 ? 2 : 1)));
}

function makeAll() {
  for (const { plot } of charts) plot.destroy();
  charts = [
    make("rates", "Requests", RATES, LINEAR, "/s"),
    make("latencies", "Time to answer", LATENCIES, LOGARITHMIC, " ms"),
  ];
}

/** ": reads 400/s, writes 12/s", as of the last point; dashed lines are left out. */
function newest(lines, point, unit) {
  if (point === undefined) return "";
  const known = lines.filter(({ key, dash }) => dash === undefined && point[key] !== null);
  const texts = known.map(({ label, key }) => `${label} ${compact(point[key])}${unit}`);
  return texts.length === 0 ? "" : `: ${texts.join(", ")}`;
}

/** Draws the history: [{at, readsPerSecond, ...}], oldest first. */
export function showCharts(history) {
  if (charts.length === 0) makeAll();
  const times = history.map(({ at }) => at / 1000);
  for (const { plot, holder, lines, heading, title, unit } of charts) {
    if (plot.width !== holder.clientWidth) {
      plot.setSize({ width: holder.clientWidth, height: HEIGHT });
    }
    heading.textContent = `${title}${newest(lines, history.at(-1), unit)}`;
    plot.setData([times, ...lines.map(({ key }) => history.map((point) => point[key]))]);
    // While nobody points at the chart the legend tells the newest numbers.
    const isPointed = typeof plot.cursor.idx === "number";
    if (!isPointed && times.length > 0) plot.setLegend({ idx: times.length - 1 });
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (charts.length > 0) makeAll();
});
