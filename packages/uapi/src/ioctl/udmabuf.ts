import { createUdmabuf, createUdmabufList } from '@dmabuf-emu/exporter-heap';
import { UDMABUF_CREATE, UDMABUF_CREATE_LIST, UdmabufCreateItem } from '../abi/udmabuf.ts';
import type { IoctlCall } from '../files/file-behaviour.ts';
import { ioctlTable } from './ioctl-table.ts';

/** Both return the new descriptor. @kernel udmabuf_ioctl */
export const udmabufIoctl = ioctlTable([
  [UDMABUF_CREATE.number, create],
  [UDMABUF_CREATE_LIST.number, createList],
]);

function create({ process, argument }: IoctlCall): number {
  return createUdmabuf(process.machine, process.memory.get(argument, UDMABUF_CREATE.struct));
}

function createList({ process, argument }: IoctlCall): number {
  const { memory, machine } = process;
  const { struct } = UDMABUF_CREATE_LIST;
  const { flags, count } = memory.get(argument, struct);
  const items = (): ReturnType<typeof UdmabufCreateItem.decode>[] => {
    const bytes = memory.read(argument + BigInt(struct.size), count * UdmabufCreateItem.size);
    return Array.from({ length: count }, (_, i) =>
      UdmabufCreateItem.decode(bytes.subarray(i * UdmabufCreateItem.size)),
    );
  };
  return createUdmabufList(machine, { flags, count, items });
}
