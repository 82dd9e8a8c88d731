import { type MmapRequest, PAGE_BYTES, VmArea } from '@dmabuf-emu/core';
import { KernelError } from '@dmabuf-emu/shm';
import { behaviourOf } from '../files/behaviours.ts';
import type { OpenFile } from '../files/file-behaviour.ts';
import type { Process } from '../process/process.ts';
import { MapFlags, Prot, TASK_SIZE } from '../process/protection.ts';
import { AnonymousBacking, FileBacking, type UserArea } from '../process/user-area.ts';
import { Fmode, withFile } from './with-file.ts';

const U64 = 2n ** 64n;
const PAGE = BigInt(PAGE_BYTES);
const ALL_PROT = Prot.READ | Prot.WRITE | Prot.EXEC;

/** What mmap(2) is given. Numbers of 64 bits, unsigned. */
export interface MmapArgs {
  /** Where it should be, if there is room. */
  readonly address?: bigint;
  /** Bytes. */
  readonly length: bigint;
  /** PROT_* */
  readonly prot: number;
  /** MAP_* */
  readonly flags: number;
  readonly fd?: number;
  /** Bytes. */
  readonly offset?: bigint;
}

type Mapped = Omit<UserArea, 'start' | 'end'>;

/**
 * Maps a file or new memory; returns the address. @kernel mmap(2)
 * @throws KernelError EBADF, EINVAL, ENOMEM, EOVERFLOW, EACCES, EPERM, EEXIST, ENODEV, and what the file refuses with
 */
export function mmap(process: Process, args: MmapArgs): bigint {
  const { flags, fd = -1, offset = 0n } = args;
  if (offset % PAGE !== 0n) throw new KernelError('EINVAL', 'mmap', `offset ${offset} is not a multiple of the page`);
  if ((flags & MapFlags.ANONYMOUS) !== 0) return BigInt(mapRange(process, args, undefined));
  return withFile(process, fd, (open) => BigInt(mapRange(process, args, open)));
}

function mapRange(process: Process, args: MmapArgs, open: OpenFile | undefined): number {
  const { address = 0n, length, flags, offset = 0n } = args;
  const { space } = process;
  const bytes = checkedLength(length);
  if (offset / PAGE + BigInt(bytes) / PAGE >= U64) throw new KernelError('EOVERFLOW', 'mmap', 'offset and length');
  space.checkRoom();
  const start = choosePlace(process, Number(address), bytes, flags);
  const mapped = open === undefined ? mapAnonymous(args) : mapFile(open, args, bytes);
  if ((flags & MapFlags.FIXED) !== 0) space.remove(start, start + bytes);
  space.add({ ...mapped, start, end: start + bytes });
  return start;
}

function checkedLength(length: bigint): number {
  if (length === 0n) throw new KernelError('EINVAL', 'mmap', 'length must be above 0');
  const bytes = BigInt.asUintN(64, ((length + PAGE - 1n) / PAGE) * PAGE);
  if (bytes === 0n || bytes > BigInt(TASK_SIZE)) throw new KernelError('ENOMEM', 'mmap', `no room for ${length} bytes`);
  return Number(bytes);
}

function choosePlace({ space }: Process, address: number, bytes: number, flags: number): number {
  if ((flags & (MapFlags.FIXED | MapFlags.FIXED_NOREPLACE)) === 0) return space.freeRange(address, bytes);
  if (address % PAGE_BYTES !== 0) throw new KernelError('EINVAL', 'mmap', `address ${address} is not a whole page`);
  if (address + bytes > TASK_SIZE) throw new KernelError('ENOMEM', 'mmap', `no room for ${bytes} bytes at ${address}`);
  if ((flags & MapFlags.FIXED) === 0 && space.freeRange(address, bytes) !== address) {
    throw new KernelError('EEXIST', 'mmap', `something is mapped at ${address}`);
  }
  return address;
}

function mapAnonymous({ prot, flags }: MmapArgs): Mapped {
  const type = flags & MapFlags.TYPE;
  if (type !== MapFlags.SHARED && type !== MapFlags.PRIVATE) throw badType(type);
  const shared = type === MapFlags.SHARED;
  const backing = new AnonymousBacking();
  return { prot, maxProt: ALL_PROT, shared, mayShare: shared, vm: undefined, offset: 0, backing };
}

/** The checks come in the kernel's order. @kernel do_mmap */
function mapFile(open: OpenFile, { prot, flags, offset = 0n }: MmapArgs, bytes: number): Mapped {
  const { file } = open;
  const { regular, noExec = false } = behaviourOf(file);
  const largest = regular === true ? 2n ** 63n - 1n : U64 - 1n;
  if (offset / PAGE > (largest - BigInt(bytes)) / PAGE) {
    throw new KernelError('EOVERFLOW', 'mmap', `offset ${offset} is too large`);
  }
  const type = flags & MapFlags.TYPE;
  const mayShare = type === MapFlags.SHARED || type === MapFlags.SHARED_VALIDATE;
  if (!mayShare && type !== MapFlags.PRIVATE) throw badType(type);
  const canWrite = (file.mode & Fmode.WRITE) !== 0;
  if (mayShare && (prot & Prot.WRITE) !== 0 && !canWrite) throw denied('a shared mapping to write', 'writing');
  if ((file.mode & Fmode.READ) === 0) throw denied('a mapping', 'reading');
  if (noExec && (prot & Prot.EXEC) !== 0) throw new KernelError('EPERM', 'mmap', 'nothing there may be executed');
  const request = { offset: Number(offset), length: bytes, shared: mayShare, writable: (prot & Prot.WRITE) !== 0 };
  const vm = mapWith(open, request);
  const maxProt = Prot.READ | (vm.mayWrite ? Prot.WRITE : 0) | (noExec ? 0 : Prot.EXEC);
  return { prot, maxProt, shared: mayShare && canWrite, mayShare, vm, offset: 0, backing: new FileBacking(vm) };
}

function mapWith(open: OpenFile, request: Required<MmapRequest>): VmArea {
  const { file } = open;
  const { ops } = file;
  const own = behaviourOf(file).mmap;
  if (own !== undefined) return own(open, request);
  if (ops.mmap === undefined) throw new KernelError('ENODEV', 'mmap', `a ${file.type} file cannot be mapped`);
  const pageOffset = request.offset / PAGE_BYTES;
  return VmArea.map(file, { ...request, pageOffset }, (area) => ops.mmap!(file, area));
}

function badType(type: number): KernelError {
  return new KernelError('EINVAL', 'mmap', `flags need MAP_SHARED or MAP_PRIVATE, got type ${type}`);
}

function denied(what: string, missing: string): KernelError {
  return new KernelError('EACCES', 'mmap', `${what} of a file that is not open for ${missing}`);
}
