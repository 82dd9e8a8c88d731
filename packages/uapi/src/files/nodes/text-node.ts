import { Seek } from '@dmabuf-emu/core';
import { KernelError, type Machine } from '@dmabuf-emu/shm';
import { FileKind, type OpenFile } from '../file-behaviour.ts';
import type { FsNode } from '../fs-node.ts';

/** A file of text that the kernel writes as it is read, one byte a character. */
export interface TextNode {
  readonly path: string;
  readonly permissions: number;
  readonly magic: number;
  readonly show: (machine: Machine) => string;
  /** Takes what a program writes. @throws KernelError EINVAL */
  readonly store?: (machine: Machine, text: string) => void;
}

/** @kernel seq_file, device_attribute */
export function textNode({ path, permissions, magic, show, store }: TextNode): FsNode {
  const mode = FileKind.REGULAR | permissions;
  return {
    path,
    mode,
    behaviour: {
      positioned: true,
      seekable: true,
      regular: true,
      magic,
      stat: () => ({ mode }),
      llseek: seek,
      truncate: () => {},
      read: ({ process }, length, position) =>
        Buffer.from(show(process.machine), 'latin1').subarray(position, position + length),
      write: ({ process }, bytes) => {
        if (store === undefined) throw new KernelError('EIO', 'write', `${path} cannot be written`);
        store(process.machine, Buffer.from(bytes).toString('latin1'));
        return bytes.length;
      },
    },
  };
}

/** The whole number that a program wrote. @kernel kstrtol @throws KernelError EINVAL */
export function parseNumber(text: string): number {
  const value = /^[+-]?(0[xX][0-9a-fA-F]+|\d+)\n?$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isInteger(value) || Math.abs(value) > 2 ** 31 - 1) {
    throw new KernelError('EINVAL', 'kstrtoint', `expected a whole number of 32 bits, got '${text.trim()}'`);
  }
  return value;
}

/** @kernel seq_lseek */
function seek({ file }: OpenFile, offset: number, whence: number): number {
  const to = whence === Seek.CUR ? file.pos + offset : offset;
  if ((whence !== Seek.SET && whence !== Seek.CUR) || to < 0) {
    throw new KernelError('EINVAL', 'seq_lseek', `offset ${offset}, whence ${whence}`);
  }
  return (file.pos = to);
}
