// Answers of the dashboard's paths. A standby sends a browser to the leader's dashboard; a page that is open
// while leadership moves sees the same answer, and goes along (dashboard.js).

import type { Answer, Ask, Handler, Handlers } from "../route.ts";
import type { DASHBOARD_ROUTES } from "../routes.ts";
import { type MetaPathOptions, refused } from "../meta_paths.ts";
import { overviewOf } from "./overview.ts";
import { type PageFile, pageFile } from "./page.ts";
import type { RecentChange } from "./recent_changes.ts";

/** What the dashboard needs of its meta server. */
export interface DashboardOptions extends MetaPathOptions {
  /** Newest first. */
  readonly changes: () => readonly RecentChange[];
}

/** Handlers of {@link DASHBOARD_ROUTES}. */
export function dashboardHandlers(options: DashboardOptions): Handlers<typeof DASHBOARD_ROUTES> {
  const { ask, changes, watching } = options;
  const file = (path: PageFile): Handler => () => pageFile(path);
  const handlers = {
    "/dashboard": async (request: Ask): Promise<Answer> => {
      const { answer, error, detail } = await ask("clusterInfo", {});
      // Nobody leads: the page can say so, and waits.
      if (answer !== undefined || detail === "") return await pageFile("/dashboard");
      const elsewhere = await refused(options, error, detail, request);
      return elsewhere.status === 307 ? elsewhere : await pageFile("/dashboard");
    },
    "/dashboard/dashboard.css": file("/dashboard/dashboard.css"),
    "/dashboard/dashboard.js": file("/dashboard/dashboard.js"),
    "/dashboard/views.js": file("/dashboard/views.js"),
    "/dashboard/charts.js": file("/dashboard/charts.js"),
    "/dashboard/uplot.js": file("/dashboard/uplot.js"),
    "/dashboard/uplot.css": file("/dashboard/uplot.css"),
    "/meta/overview": async (request: Ask): Promise<Answer> => {
      const overview = await overviewOf(
        { ask, watching, changes },
        request.args.get("table") ?? "",
      );
      if ("problems" in overview) return { json: overview };
      return await refused(options, overview.error, overview.detail, request);
    },
  };
  return handlers;
}
