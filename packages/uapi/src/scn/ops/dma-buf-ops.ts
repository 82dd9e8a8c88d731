import {
  DMA_BUF_IOCTL_EXPORT_SYNC_FILE,
  DMA_BUF_IOCTL_IMPORT_SYNC_FILE,
  DMA_BUF_IOCTL_SYNC,
  DMA_BUF_SET_NAME_A,
  DMA_BUF_SET_NAME_B,
} from '../../abi/dma-buf.ts';
import { DMA_HEAP_IOCTL_ALLOC } from '../../abi/dma-heap.ts';
import { UDMABUF_CREATE, UDMABUF_CREATE_LIST, UdmabufCreateItem } from '../../abi/udmabuf.ts';
import { ioctl } from '../../syscalls/ioctl.ts';
import { op, type Op } from './op.ts';
import type { OpCall } from './op-call.ts';

const RDWR_CLOEXEC = 0o2000002n;
const NAME_BYTES = 256;

/** Operations of udmabuf, the heaps, and dma-bufs themselves. */
export const DMA_BUF_OPS: readonly Op[] = [
  op(
    'udmabuf_create',
    { dev: 'number', memfd: 'number?', flags: 'number?', offset: 'number?', size: 'number?' },
    (call) => {
      const { ret } = call.ioctl(call.s32('dev'), UDMABUF_CREATE, {
        memfd: call.u32('memfd', -1n),
        flags: call.u32('flags', 0n),
        offset: call.u64('offset', 0n),
        size: call.u64('size', 0n),
      });
      call.returnsFd(ret);
    },
  ),
  op(
    'udmabuf_create_list',
    { dev: 'number', items: 'items?', count: 'number?', flags: 'number?', repeat: 'number?' },
    createList,
  ),
  op(
    'heap_alloc',
    { dev: 'number', len: 'number?', fd: 'number?', fd_flags: 'number?', heap_flags: 'number?' },
    (call) => {
      const { ret, out } = call.ioctl(call.s32('dev'), DMA_HEAP_IOCTL_ALLOC, {
        len: call.u64('len', 0n),
        fd: call.u32('fd', 0n),
        fd_flags: call.u32('fd_flags', RDWR_CLOEXEC),
        heap_flags: call.u64('heap_flags', 0n),
      });
      call.keep(out.fd);
      Object.assign(call.answer, { ret, fd: 'fd', len: out.len });
    },
  ),
  op('dmabuf_sync', { fd: 'number', flags: 'number' }, (call) =>
    call.returns(call.ioctl(call.s32('fd'), DMA_BUF_IOCTL_SYNC, { flags: call.u64('flags') }).ret),
  ),
  op(
    'set_name',
    { fd: 'number', variant: 'text?', name: 'text?', fill: 'number?', len: 'number?', ptr: 'number?' },
    setName,
  ),
  op('export_sync', { fd: 'number', flags: 'number', in_fd: 'number?' }, (call) => {
    const { out } = call.ioctl(call.s32('fd'), DMA_BUF_IOCTL_EXPORT_SYNC_FILE, {
      flags: call.u32('flags'),
      fd: call.s32('in_fd', -1n),
    });
    call.returnsFd(out.fd);
  }),
  op('import_sync', { fd: 'number', flags: 'number', sync: 'number?' }, (call) => {
    const { ret } = call.ioctl(call.s32('fd'), DMA_BUF_IOCTL_IMPORT_SYNC_FILE, {
      flags: call.u32('flags'),
      fd: call.s32('sync', -1n),
    });
    call.returns(ret);
  }),
];

/** `items=memfd:offset:size[:pad],...`, all of them `repeat` times. */
function createList(call: OpCall): void {
  const { memory } = call.process;
  const once = call.list('items').map((item) => {
    const [memfd, offset, size, pad = 0n] = item.split(':').map((part) => call.evaluate(part));
    if (memfd === undefined || offset === undefined || size === undefined) {
      throw new RangeError(`expected memfd:offset:size[:pad], got '${item}'`);
    }
    const low = (value: bigint): number => Number(BigInt.asUintN(32, value));
    return UdmabufCreateItem.encode({ memfd: low(memfd), pad: low(pad), offset, size });
  });
  const items = Array.from({ length: Number(call.u64('repeat', 1n)) }, () => once).flat();
  const count = call.u32('count', BigInt(items.length));
  const head = UDMABUF_CREATE_LIST.struct.encode({ flags: call.u32('flags', 0n), count });
  // A count that is too high finds zeros behind the list, as in the program that the recorded kernels ran.
  const room = (items.length + Math.max(1, once.length)) * UdmabufCreateItem.size;
  const list = Buffer.alloc(head.length + room);
  list.set(Buffer.concat([head, ...items]));
  memory.stack.with(list, (address) =>
    call.returnsFd(ioctl(call.process, call.s32('dev'), UDMABUF_CREATE_LIST.number, address)),
  );
}

/** `name="..."`, or `fill=` and `len=` for a name of one byte repeated, or `ptr=` for any address. */
function setName(call: OpCall): void {
  const { process } = call;
  const fd = call.s32('fd');
  const command = call.text('variant') === 'A' ? DMA_BUF_SET_NAME_A : DMA_BUF_SET_NAME_B;
  if (call.has('ptr')) {
    call.returns(ioctl(process, fd, command, call.u64('ptr')));
    return;
  }
  const bytes = new Uint8Array(NAME_BYTES);
  if (call.has('name')) bytes.set(Buffer.from(call.text('name'), 'latin1').subarray(0, NAME_BYTES - 1));
  else bytes.fill(Number(call.u64('fill', 0x78n) & 0xffn), 0, Number(call.u64('len')));
  process.memory.stack.with(bytes, (address) => call.returns(ioctl(process, fd, command, address)));
}
