import { PAGE_BYTES, type VmArea } from '@dmabuf-emu/core';
import type { Process } from '../process/process.ts';
import { Prot } from '../process/protection.ts';
import type { UserArea } from '../process/user-area.ts';

/** What /proc/self/smaps says of a mapping. */
export interface SmapsEntry {
  /** Such as `rw-s`. */
  readonly perms: string;
  /** Bytes. */
  readonly length: number;
  /** Bytes from the start of the file, eight hex digits or more. */
  readonly offset: string;
  readonly name: string;
  /** Two letters each, in the kernel's order. */
  readonly vmFlags: string;
}

/** What /proc/self/smaps says of the mapping that holds `address`; undefined when nothing is mapped there. */
export function smaps({ space }: Process, address: bigint): SmapsEntry | undefined {
  const area = space.find(Number(address));
  if (area === undefined) return undefined;
  const { prot, vm } = area;
  const offset = vm === undefined ? 0 : vm.pageOffset * PAGE_BYTES + area.offset;
  const letter = (bit: number, text: string): string => ((prot & bit) !== 0 ? text : '-');
  return {
    perms: `${letter(Prot.READ, 'r')}${letter(Prot.WRITE, 'w')}${letter(Prot.EXEC, 'x')}${area.mayShare ? 's' : 'p'}`,
    length: area.end - area.start,
    offset: offset.toString(16).padStart(8, '0'),
    name: vm === undefined ? '' : pathOf(vm),
    vmFlags: vmFlags(area),
  };
}

/** The file's path on one line. @kernel seq_path */
function pathOf({ file }: VmArea): string {
  return (file.ops.linkText?.(file) ?? `anon_inode:${file.type}`).replaceAll('\n', '\\012');
}

/** @kernel show_smap_vma_flags */
function vmFlags({ prot, maxProt, shared, mayShare, vm }: UserArea): string {
  const own = new Set(vm?.ops?.flags);
  const flags: [name: string, set: boolean][] = [
    ['rd', (prot & Prot.READ) !== 0],
    ['wr', (prot & Prot.WRITE) !== 0],
    ['ex', (prot & Prot.EXEC) !== 0],
    ['sh', shared],
    ['mr', (maxProt & Prot.READ) !== 0],
    ['mw', (maxProt & Prot.WRITE) !== 0],
    ['me', (maxProt & Prot.EXEC) !== 0],
    ['ms', mayShare],
    ['pf', own.has('pf')],
    ['io', own.has('io')],
    ['de', own.has('de')],
    ['ac', !mayShare && (prot & Prot.WRITE) !== 0],
    ['dd', own.has('dd')],
  ];
  return flags
    .filter(([, set]) => set)
    .map(([name]) => name)
    .join(' ');
}
