// Metrics: declared once (metrics.ts), made live per process, written down only when somebody asks. A hot
// path keeps the series it writes to (`child`), so recording is an addition to a plain number or array;
// names, labels and text cost nothing until a scrape. Invariant: a family has at most SERIES_MAX series,
// whatever tables and peers come and go; the rest is counted together under the label value "other".
// The only importer of the Prometheus library, which writes the text form. List: docs/metrics.md.

// @ts-types="./prometheus_registry.d.ts"
import Registry from "@prometheus-io/client";

/** What a metric does: a sum since the start, a value of now, or a distribution. */
export type MetricKind = "counter" | "gauge" | "histogram";

type Names = readonly string[];

/** A declared metric. Names follow Prometheus: base units, `_total` for counters. */
export interface Declared<Kind extends MetricKind = MetricKind, Labels extends Names = Names> {
  readonly kind: Kind;
  readonly name: string;
  readonly labels: Labels;
  readonly doc: string;
  /** Upper bounds of a histogram's buckets, ascending; empty for other kinds. */
  readonly bounds: readonly number[];
  /** What the values of several threads are together. @default "sum" */
  readonly together?: "sum" | "max";
}

interface Options<Labels extends Names> {
  readonly name: string;
  /** @default none */
  readonly labels?: Labels;
  readonly doc: string;
}

/** Seconds: 50 us to 10 s, the range from a cached read to a timeout. */
export const SECONDS: readonly number[] = [
  ...[0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025],
  ...[0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
];

/** Declares a sum that only grows while the process lives. */
export function counter<const Labels extends Names = []>(
  { name, labels, doc }: Options<Labels>,
): Declared<"counter", Labels> {
  return { kind: "counter", name, labels: labels ?? ([] as Names as Labels), doc, bounds: [] };
}

/** Declares a value that goes up and down. `together`: "max" where every thread measures the same thing. */
export function gauge<const Labels extends Names = []>(
  { name, labels, doc, together = "sum" }: Options<Labels> & { together?: "sum" | "max" },
): Declared<"gauge", Labels> {
  const declared = { name, labels: labels ?? ([] as Names as Labels), doc, bounds: [] };
  return { kind: "gauge", ...declared, together };
}

/** Declares a distribution. `bounds` default to {@link SECONDS}. */
export function histogram<const Labels extends Names = []>(
  { name, labels, doc, bounds = SECONDS }: Options<Labels> & { bounds?: readonly number[] },
): Declared<"histogram", Labels> {
  return { kind: "histogram", name, labels: labels ?? ([] as Names as Labels), doc, bounds };
}

/** One series of a counter. Adding costs less than 10 ns. */
export class CounterSeries {
  value = 0;

  add(amount = 1): void {
    this.value += amount;
  }
}

/** One series of a gauge. */
class GaugeSeries {
  value = 0;

  set(value: number): void {
    this.value = value;
  }
}

/** One series of a histogram. */
export class HistogramSeries {
  sum = 0;
  /** Observations by bucket, not yet summed up; the last is above all bounds. */
  readonly counts: number[];
  readonly #bounds: readonly number[];

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.counts = new Array(bounds.length + 1).fill(0);
  }

  /**
   * Adds an observation: 6 to 60 ns. Latencies sit in the low buckets, where walking beats halving; the
   * library's own histogram takes 117 ns, the one of perf_hooks 115 ns.
   */
  record(value: number): void {
    const bounds = this.#bounds;
    let i = 0;
    while (i < bounds.length && value > bounds[i]!) i++;
    this.counts[i]!++;
    this.sum += value;
  }
}

interface SeriesOf {
  counter: CounterSeries;
  gauge: GaugeSeries;
  histogram: HistogramSeries;
}

type LabelValues<Labels extends Names> = { readonly [I in keyof Labels]: string };

/** Most series of one metric. */
const SERIES_MAX = 10_000;
const OTHER = "other";

interface Entry<Series> {
  readonly values: readonly string[];
  readonly series: Series;
}

/** A live metric: its series by label values. */
export class Family<Kind extends MetricKind = MetricKind, Labels extends Names = Names> {
  readonly declared: Declared<Kind, Labels>;
  readonly #entries = new Map<string, Entry<SeriesOf[Kind]>>();
  readonly #seriesMax: number;

  constructor(declared: Declared<Kind, Labels>, seriesMax = SERIES_MAX) {
    this.declared = declared;
    this.#seriesMax = seriesMax;
  }

  /** The series of these label values, in the order of the labels. Keep it: finding it costs 400 ns. */
  child(...values: LabelValues<Labels>): SeriesOf[Kind] {
    const key = values.join("\u0000");
    const known = this.#entries.get(key);
    if (known !== undefined) return known.series;
    const isFull = this.#entries.size >= this.#seriesMax;
    const labels = isFull ? this.declared.labels.map(() => OTHER) : [...values] as string[];
    const otherKey = labels.join("\u0000");
    const found = isFull ? this.#entries.get(otherKey) : undefined;
    if (found !== undefined) return found.series;
    const series = newSeries(this.declared) as SeriesOf[Kind];
    this.#entries.set(otherKey, { values: labels, series });
    return series;
  }

  /** Forgets all series: for gauges that are measured anew at every scrape. */
  clear(): void {
    this.#entries.clear();
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  /** All series with their label values. */
  entries(): Iterable<Entry<SeriesOf[Kind]>> {
    return this.#entries.values();
  }
}

function newSeries({ kind, bounds }: Declared): SeriesOf[MetricKind] {
  if (kind === "counter") return new CounterSeries();
  return kind === "gauge" ? new GaugeSeries() : new HistogramSeries(bounds);
}

/** Declarations in groups. */
export type Declarations = Readonly<Record<string, Readonly<Record<string, Declared>>>>;

/** The live form of declarations. */
export type Live<All extends Declarations> = {
  readonly [Group in keyof All]: {
    readonly [Name in keyof All[Group]]: All[Group][Name] extends Declared<infer Kind, infer Labels>
      ? Family<Kind, Labels>
      : never;
  };
};

/** One series as plain data. */
interface SeriesDump {
  readonly values: readonly string[];
  /** Of a histogram: the sum. */
  readonly value: number;
  /** Of a histogram only: observations by bucket. */
  readonly counts?: readonly number[];
}

/** The series of one metric as plain data, to be counted together with those of other threads. */
export interface FamilyDump {
  readonly name: string;
  readonly series: readonly SeriesDump[];
}

/** Another thread with metrics. */
interface Source {
  readonly ask: () => Promise<readonly FamilyDump[]>;
  /** What it told last. */
  last: readonly FamilyDump[];
}

/** The live metrics of one process. */
export class MetricRegistry<All extends Declarations> {
  /** Every declared metric by group and name. */
  readonly live: Live<All>;
  readonly #registry = new Registry();
  readonly #families: Family[] = [];
  readonly #collectors: (() => void | Promise<void>)[] = [];
  readonly #sources: Source[] = [];
  /** What the other threads had at the last scrape, by name. */
  #others = new Map<string, SeriesDump[]>();

  /** @throws {Error} If two metrics have one name. */
  constructor(declarations: All) {
    const live: Record<string, Record<string, Family>> = {};
    for (const [group, metrics] of Object.entries(declarations)) {
      const families: Record<string, Family> = live[group] = {};
      for (const [name, declared] of Object.entries(metrics)) {
        const family = families[name] = new Family(declared);
        // The library's registry asks its metrics for their values and nothing else.
        const metric = { name: declared.name, get: () => Promise.resolve(this.#snapshot(family)) };
        this.#registry.registerMetric(metric);
        this.#families.push(family);
      }
    }
    this.live = live as Live<All>;
  }

  /** Runs before every scrape: the place to measure what need not be followed all the time. */
  onScrape(collect: () => void | Promise<void>): void {
    this.#collectors.push(collect);
  }

  /** Where the metrics of another thread come from; they are added up with the own ones. */
  addSource(ask: () => Promise<readonly FamilyDump[]>): void {
    this.#sources.push({ ask, last: [] });
  }

  /** All metrics that have series, as plain data. */
  async dump(): Promise<FamilyDump[]> {
    for (const collect of this.#collectors) await collect();
    return this.#families.filter(({ isEmpty }) => !isEmpty).map((family) => ({
      name: family.declared.name,
      series: [...family.entries()].map(dumpOf),
    }));
  }

  /** What {@link text} is, for the HTTP header. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All metrics that have series, in the Prometheus text format. */
  async text(): Promise<string> {
    for (const collect of this.#collectors) await collect();
    const others = new Map<string, SeriesDump[]>();
    const dumps = await Promise.all(this.#sources.map((source) => this.#dumpOf(source)));
    for (const { name, series } of dumps.flat()) {
      others.set(name, [...others.get(name) ?? [], ...series]);
    }
    this.#others = others;
    const used = this.#families.filter(({ isEmpty, declared }) =>
      !isEmpty || others.has(declared.name)
    );
    const texts = used.map(({ declared }) => this.#registry.getSingleMetricAsString(declared.name));
    return `${(await Promise.all(texts)).join("\n\n")}\n`;
  }

  /**
   * What a thread has. One that does not answer must not hide what the others tell, and its sums stay as they were:
   * a counter that falls reads as a new start of the process, and its return as a burst.
   */
  async #dumpOf(source: Source): Promise<readonly FamilyDump[]> {
    try {
      return source.last = await source.ask();
    } catch {
      const gauges = this.#families.filter(({ declared }) => declared.kind === "gauge");
      const names = new Set(gauges.map(({ declared }) => declared.name));
      return source.last.filter(({ name }) => !names.has(name));
    }
  }

  #snapshot(family: Family): Snapshot {
    const own = [...family.entries()].map(dumpOf);
    const { declared } = family;
    const all = [...own, ...this.#others.get(declared.name) ?? []];
    return snapshot(declared, addUp(all, declared.together));
  }
}

function dumpOf({ values, series }: Entry<SeriesOf[MetricKind]>): SeriesDump {
  return series instanceof HistogramSeries
    ? { values, value: series.sum, counts: [...series.counts] }
    : { values, value: series.value };
}

/** One series for equal label values. */
function addUp(all: readonly SeriesDump[], together: Declared["together"] = "sum"): SeriesDump[] {
  const sums = new Map<string, SeriesDump>();
  for (const one of all) {
    const key = one.values.join("\u0000");
    const before = sums.get(key);
    if (before === undefined) sums.set(key, one);
    else {
      const counts = one.counts?.map((count, i) => count + (before.counts?.[i] ?? 0));
      const value = together === "sum"
        ? before.value + one.value
        : Math.max(before.value, one.value);
      sums.set(key, { values: one.values, value, ...(counts === undefined ? {} : { counts }) });
    }
  }
  return [...sums.values()];
}

interface Sample {
  readonly metricName?: string;
  readonly labels: Record<string, string | number>;
  readonly value: number;
}

interface Snapshot {
  readonly name: string;
  readonly help: string;
  readonly type: MetricKind;
  readonly values: Sample[];
}

/** A family as the library's registry writes it. */
function snapshot(declared: Declared, series: readonly SeriesDump[]): Snapshot {
  const { name, doc, kind, labels, bounds } = declared;
  const values: Sample[] = [];
  for (const one of series) {
    const own: Record<string, string> = {};
    labels.forEach((label, i) => own[label] = one.values[i]!);
    if (one.counts === undefined) values.push({ labels: own, value: one.value });
    else pushBuckets(values, name, own, bounds, one.counts, one.value);
  }
  return { name, help: doc, type: kind, values };
}

/** Buckets of the text format count everything up to their bound. */
function pushBuckets(
  values: Sample[],
  name: string,
  own: Readonly<Record<string, string>>,
  bounds: readonly number[],
  counts: readonly number[],
  sum: number,
): void {
  let count = 0;
  counts.forEach((amount, i) => {
    count += amount;
    const le = i < bounds.length ? bounds[i]! : "+Inf";
    values.push({ metricName: `${name}_bucket`, labels: { ...own, le }, value: count });
  });
  values.push({ metricName: `${name}_sum`, labels: own, value: sum });
  values.push({ metricName: `${name}_count`, labels: own, value: count });
}
