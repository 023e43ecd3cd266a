// The tree of versioned values behind the embedded store, in memory. Invariants: every node but the
// root has a parent; a group of operations happens as a whole or leaves no trace. Its rules are
// ZooKeeper's, so that both stores pass tests/conformance/coordinator_suite.ts.

import { CoordinatorError, type StoredNode, type StoreOp } from "./coordinator.ts";

interface TreeNode {
  value: Uint8Array;
  version: number;
  readonly children: Set<string>;
}

const NO_BYTES = new Uint8Array(0);

/** See the file comment. */
export class StoreTree {
  readonly #nodes = new Map<string, TreeNode>([
    ["/", { value: NO_BYTES, version: 0, children: new Set() }],
  ]);

  get(path: string): StoredNode | undefined {
    const node = this.#nodes.get(path);
    return node === undefined ? undefined : { path, value: node.value, version: node.version };
  }

  /** Names of the children, sorted. */
  children(path: string): string[] {
    return [...this.#nodes.get(path)?.children ?? []].sort();
  }

  /** Every node but the root, parents before their children. */
  all(): StoredNode[] {
    const all: StoredNode[] = [];
    const visit = (path: string) => {
      const node = this.#nodes.get(path)!;
      if (path !== "/") all.push({ path, value: node.value, version: node.version });
      for (const name of node.children) visit(join(path, name));
    };
    visit("/");
    return all;
  }

  /** Adds nodes as {@link all} returned them. */
  load(nodes: readonly StoredNode[]): void {
    for (const { path, value, version } of nodes) {
      this.#create(path, value);
      this.#nodes.get(path)!.version = version;
    }
  }

  /**
   * Applies all operations or none.
   *
   * @returns The version of each node afterwards; -1 for a deleted one.
   * @throws {CoordinatorError} The first condition that does not hold.
   */
  apply(ops: readonly StoreOp[]): number[] {
    const undo: (() => void)[] = [];
    const versions: number[] = [];
    try {
      for (const op of ops) versions.push(this.#applyOne(op, undo));
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    }
    return versions;
  }

  #applyOne(op: StoreOp, undo: (() => void)[]): number {
    if (op.op === "create") {
      this.#create(op.path, op.value.slice());
      undo.push(() => this.#remove(op.path));
      return 0;
    }
    const node = this.#nodes.get(op.path);
    if (node === undefined) throw failure("noNode", op.path, "it does not exist");
    if (op.version !== -1 && op.version !== node.version) {
      const text = `its version is ${node.version}, expected ${op.version}`;
      throw failure("badVersion", op.path, text);
    }
    if (op.op === "check") return node.version;
    if (op.op === "set") {
      const { value, version } = node;
      undo.push(() => void Object.assign(node, { value, version }));
      node.value = op.value.slice();
      return ++node.version;
    }
    if (node.children.size > 0) throw failure("notEmpty", op.path, "it has children");
    if (op.path === "/") throw failure("notEmpty", op.path, "it is the root");
    undo.push(() => {
      this.#nodes.set(op.path, node);
      this.#nodes.get(parentOf(op.path))!.children.add(nameOf(op.path));
    });
    this.#remove(op.path);
    return -1;
  }

  #create(path: string, value: Uint8Array): void {
    if (!/^(\/[^/]+)+$/.test(path)) throw failure("noNode", path, "it is no absolute path");
    if (this.#nodes.has(path)) throw failure("nodeExists", path, "it exists");
    const parent = this.#nodes.get(parentOf(path));
    if (parent === undefined) throw failure("noNode", path, "its parent does not exist");
    parent.children.add(nameOf(path));
    this.#nodes.set(path, { value, version: 0, children: new Set() });
  }

  #remove(path: string): void {
    this.#nodes.delete(path);
    this.#nodes.get(parentOf(path))!.children.delete(nameOf(path));
  }
}

function failure(
  kind: "noNode" | "nodeExists" | "badVersion" | "notEmpty",
  path: string,
  why: string,
): CoordinatorError {
  return new CoordinatorError(kind, `Cannot change "${path}": ${why}`);
}

function join(parent: string, name: string): string {
  return parent === "/" ? `/${name}` : `${parent}/${name}`;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf("/")));
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
