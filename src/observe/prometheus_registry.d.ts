// Types of the one module used from the Prometheus library. Its front door also loads its machinery for
// several processes, which opens channels between threads at once and so needs a newer runtime than the
// one the program may be compiled with.

/** A metric as the registry writes it. */
interface Source {
  name: string;
  get(): unknown;
}

/** Writes metrics in the Prometheus text format. */
export default class Registry {
  /** What the text is, for the HTTP header. */
  readonly contentType: string;
  registerMetric(metric: Source): void;
  /** @throws {Error} If there is no metric of that name. */
  getSingleMetricAsString(name: string): Promise<string>;
}
