import type { File } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import type { FileBehaviour } from './file-behaviour.ts';

const TABLE = Symbol('uapi.behaviours');
const PLAIN: FileBehaviour = {};

/** What the calling thread knows of kinds of files, by the name under which the core knows them. */
export function behaviourTable(machine: Machine): Map<string, (file: File) => FileBehaviour> {
  return machine.local(TABLE, () => new Map());
}

/** How system calls treat `file`. */
export function behaviourOf(file: File): FileBehaviour {
  return behaviourTable(file.machine).get(file.type)?.(file) ?? PLAIN;
}
