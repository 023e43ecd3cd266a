// The best players of a game in order, without sorting anything: rows of one hash key are stored in the order
// of their sort keys, so the sort key holds the score. All rows of a game live in one partition, hence a
// player's row and the place in the order change together or not at all.
//
//   deno run -NE docs/examples/leaderboard.ts        # a cluster at $PEGASUS_META or 127.0.0.1:34601

import process from "node:process";
import { openCluster, type Table } from "../../src/client/mod.ts";

const SCORE_MAX = 9_999_999_999;
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** The ranking of one game. Sort keys: "p:<player>" -> score, "r:<inverted score>:<player>" -> "". */
class Leaderboard {
  readonly #table: Table;
  readonly #game: string;

  constructor(table: Table, game: string) {
    this.#table = table;
    this.#game = game;
  }

  /** Inverted, so that the best comes first. */
  static #place(score: number, player: string): string {
    return `r:${String(SCORE_MAX - score).padStart(10, "0")}:${player}`;
  }

  /** Records a score if it is the player's best. */
  async submit(player: string, score: number): Promise<void> {
    for (;;) {
      const old = await this.#table.get(this.#game, `p:${player}`);
      if (old !== undefined && Number(text(old)) >= score) return;
      const mutations = [
        { put: `p:${player}`, value: String(score) },
        { put: Leaderboard.#place(score, player), value: "" },
        ...(old === undefined ? [] : [{ remove: Leaderboard.#place(Number(text(old)), player) }]),
      ];
      const unchanged = old === undefined
        ? { sortKey: `p:${player}`, type: "not_exist" } as const
        : { sortKey: `p:${player}`, type: "bytes_equal", operand: old } as const;
      const { passed } = await this.#table.checkAndMutate(this.#game, unchanged, mutations);
      if (passed) return;
    }
  }

  /** The best `count` players. */
  async top(count: number): Promise<{ player: string; score: number }[]> {
    const range = { start: "r:", stop: "r;", countMax: count, noValue: true };
    const { rows } = await this.#table.multiGet(this.#game, range);
    return rows.map(({ sortKey }) => {
      const [, inverted = "", player = ""] = text(sortKey).split(":");
      return { player, score: SCORE_MAX - Number(inverted) };
    });
  }
}

const cluster = openCluster({ meta: (process.env.PEGASUS_META ?? "127.0.0.1:34601").split(",") });
try {
  await cluster.admin.createTable("example_games", { partitionCount: 4 });
  const board = new Leaderboard(cluster.table("example_games"), `chess-${crypto.randomUUID()}`);
  const scores = [["ada", 120], ["bob", 80], ["eve", 200], ["bob", 150], ["ada", 90]] as const;
  await Promise.all(scores.map(([player, score]) => board.submit(player, score)));
  for (const { player, score } of await board.top(3)) console.log(`${player} ${score}`);
} finally {
  await cluster.close();
}
