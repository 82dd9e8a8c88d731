import { KernelError } from '@dmabuf-emu/shm';
import { readable } from '../feature/dma-buf-argument.ts';
import {
  IRQ_SET_SIZE,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_TYPE_MASK,
  VFIO_PCI_NUM_IRQS,
} from './uapi.ts';

const U32_MAX = 0xffff_ffff;
const FD_BYTES = 4;

/** The argument of `ioctl(VFIO_DEVICE_SET_IRQS)`. @kernel vfio_irq_set */
export interface IrqSetArgument {
  readonly index: number;
  /** What to do (`VFIO_IRQ_SET_ACTION_*`) and what data says to which (`VFIO_IRQ_SET_DATA_*`). */
  readonly flags: number;
  readonly start?: number;
  readonly count?: number;
  /** Descriptors of eventfds, -1 for none; with DATA_EVENTFD. */
  readonly fds?: readonly number[];
  /** With DATA_BOOL. */
  readonly bools?: readonly boolean[];
  /** Size that the caller claims; the true one when left out. */
  readonly argsz?: number;
}

/** A checked argument. */
export interface IrqSet {
  readonly index: number;
  readonly action: number;
  readonly start: number;
  readonly count: number;
  readonly data:
    | { readonly kind: 'none' }
    | { readonly kind: 'bool'; readonly values: readonly boolean[] }
    | { readonly kind: 'eventfd'; readonly fds: readonly number[] };
}

/** The bytes of the argument, as a program passes them. */
export function encodeIrqSet(argument: IrqSetArgument): Uint8Array {
  const { index, flags, fds = [], bools = [] } = argument;
  const { start = 0, count = Math.max(fds.length, bools.length) } = argument;
  const size = IRQ_SET_SIZE + fds.length * FD_BYTES + bools.length;
  const view = new DataView(new ArrayBuffer(size));
  [argument.argsz ?? size, flags, index, start, count].forEach((value, i) => view.setUint32(4 * i, value, true));
  fds.forEach((fd, i) => view.setInt32(IRQ_SET_SIZE + FD_BYTES * i, fd, true));
  bools.forEach((on, i) => view.setUint8(IRQ_SET_SIZE + i, on ? 1 : 0));
  return new Uint8Array(view.buffer);
}

/**
 * Reads and checks the argument, in the kernel's order.
 * @param countOf - how many interrupts the device has of an index
 * @kernel vfio_set_irqs_validate_and_prepare
 * @throws KernelError EFAULT, EINVAL
 */
export function decodeIrqSet(bytes: Uint8Array, countOf: (index: number) => number): IrqSet {
  const header = readable(bytes, 0, IRQ_SET_SIZE);
  const [argsz, flags, index, start, count] = [0, 4, 8, 12, 16].map((at) => header.getUint32(at, true)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const unknown = flags & ~(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK);
  if (argsz < IRQ_SET_SIZE || index >= VFIO_PCI_NUM_IRQS || count >= U32_MAX - start || unknown !== 0) {
    throw invalid(`argsz ${argsz}, index ${index}, ${count} from ${start}, flags 0x${flags.toString(16)}`);
  }
  const most = countOf(index);
  if (start >= most || start + count > most) throw invalid(`${count} interrupts from ${start}, it has ${most}`);
  const type = flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
  const common = { index, action: flags & VFIO_IRQ_SET_ACTION_TYPE_MASK, start, count };
  if (type === VFIO_IRQ_SET_DATA_NONE) return { ...common, data: { kind: 'none' } };
  if (type !== VFIO_IRQ_SET_DATA_BOOL && type !== VFIO_IRQ_SET_DATA_EVENTFD) throw invalid(`data of type ${type}`);
  const size = type === VFIO_IRQ_SET_DATA_BOOL ? 1 : FD_BYTES;
  if (argsz - IRQ_SET_SIZE < count * size) throw invalid(`argsz ${argsz} for ${count} times ${size} bytes`);
  const data = readable(bytes, IRQ_SET_SIZE, count * size);
  const each = <T>(read: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => read(i));
  if (size === 1) return { ...common, data: { kind: 'bool', values: each((i) => data.getUint8(i) !== 0) } };
  return { ...common, data: { kind: 'eventfd', fds: each((i) => data.getInt32(i * FD_BYTES, true)) } };
}

function invalid(detail: string): KernelError {
  return new KernelError('EINVAL', 'vfio_pci_ioctl_set_irqs', detail);
}
