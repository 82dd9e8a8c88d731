import { KernelError } from '@dmabuf-emu/shm';
import { MapFlags, Prot } from '../../process/protection.ts';
import { madvise } from '../../syscalls/madvise.ts';
import { mmap } from '../../syscalls/mmap.ts';
import { mprotect, munmap } from '../../syscalls/mprotect.ts';
import { mremap, MREMAP_MAYMOVE } from '../../syscalls/mremap.ts';
import { smaps } from '../../syscalls/smaps.ts';
import { op, type Op } from './op.ts';
import type { OpCall } from './op-call.ts';

/** Mappings are asked for here, 1 GiB apart. */
const FIRST_PLACE = 0x100000000000n;
const STRIDE = 1n << 30n;
const PEEK_BYTES = 64;

/** Operations on mappings, and accesses to memory. */
export const MEMORY_OPS: readonly Op[] = [
  op('mmap', { fd: 'number?', len: 'number', prot: 'number?', flags: 'number?', off: 'number?' }, map),
  op('munmap', { map: 'number', len: 'number' }, (call) => {
    munmap(call.process, call.u64('map'), call.u64('len'));
    call.returns(0);
  }),
  op('mremap', { map: 'number', old: 'number', new: 'number', flags: 'number?' }, (call) => {
    const flags = call.s32('flags', BigInt(MREMAP_MAYMOVE));
    call.returnsAddress(mremap(call.process, call.u64('map'), call.u64('old'), call.u64('new'), flags));
  }),
  op('mprotect', { map: 'number', len: 'number', prot: 'number' }, (call) => {
    mprotect(call.process, call.u64('map'), call.u64('len'), call.s32('prot'));
    call.returns(0);
  }),
  op('madvise', { map: 'number', len: 'number', advice: 'number' }, (call) => {
    madvise(call.process, call.u64('map'), call.u64('len'), call.s32('advice'));
    call.returns(0);
  }),
  op('peek', { map: 'number', off: 'number?', len: 'number?' }, (call) => {
    const length = call.u64('len', 4n);
    const count = length > BigInt(PEEK_BYTES) ? PEEK_BYTES : Number(length);
    const bytes = call.process.space.read(addressOf(call), count);
    call.returns(0);
    call.set('hex', Buffer.from(bytes).toString('hex'));
  }),
  op('poke', { map: 'number', off: 'number?', len: 'number?', byte: 'number?' }, (call) => {
    const bytes = new Uint8Array(Number(call.u64('len', 4n))).fill(Number(call.u64('byte', 0xaan) & 0xffn));
    call.process.space.write(addressOf(call), bytes);
    call.returns(0);
  }),
  op('maps', { map: 'number' }, (call) => {
    const entry = smaps(call.process, call.u64('map'));
    if (entry === undefined) throw new KernelError('ENOENT', 'smaps', 'nothing is mapped there');
    const { perms, length, offset, name, vmFlags } = entry;
    Object.assign(call.answer, { ret: 0, perms, len: length, off: offset, name, vmflags: vmFlags });
  }),
];

function map(call: OpCall): void {
  const { process } = call;
  const address = mmap(process, {
    address: nextPlace(process),
    length: call.u64('len'),
    prot: call.s32('prot', BigInt(Prot.READ | Prot.WRITE)),
    flags: call.s32('flags', BigInt(MapFlags.SHARED)),
    fd: call.has('fd') ? call.s32('fd') : -1,
    offset: call.u64('off', 0n),
  });
  call.returnsAddress(address);
}

const places = new WeakMap<object, bigint>();

/** Counts mappings that are asked for, those that fail included. */
function nextPlace(process: object): bigint {
  const place = places.get(process) ?? FIRST_PLACE;
  places.set(process, place + STRIDE);
  return place;
}

function addressOf(call: OpCall): bigint {
  return BigInt.asUintN(64, call.u64('map') + call.u64('off', 0n));
}
