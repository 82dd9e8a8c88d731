import { File, registerFileOps } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { behaviourTable } from './behaviours.ts';
import type { FsNode } from './fs-node.ts';

const NODES = Symbol('uapi.nodes');
/** Name of the kind of file that a node without files of its own has. */
const NODE_FILE = 'node';

/** The paths that the calling thread can open. */
function nodeTable(machine: Machine): Map<string, FsNode> {
  return machine.local(NODES, () => {
    const table = new Map<string, FsNode>();
    registerFileOps(machine, { name: NODE_FILE, release: () => {}, linkText: pathOf, describe: pathOf });
    behaviourTable(machine).set(NODE_FILE, (file) => table.get(pathOf(file))?.behaviour ?? {});
    return table;
  });
}

/** Makes nodes known to the calling thread. */
export function addNodes(machine: Machine, nodes: readonly FsNode[]): void {
  for (const node of nodes) nodeTable(machine).set(node.path, node);
}

/** The node at `path`; undefined when there is none. */
export function nodeAt(machine: Machine, path: string): FsNode | undefined {
  return nodeTable(machine).get(path);
}

/** A plain open file of a node, with one reference. @throws KernelError ENFILE, ENOMEM */
export function openNode(machine: Machine, { path }: FsNode, flags: number): File {
  return File.create(machine, { type: NODE_FILE, priv: machine.intern(path), flags }, 'do_filp_open');
}

function pathOf({ machine, priv }: File): string {
  return machine.string(priv);
}
