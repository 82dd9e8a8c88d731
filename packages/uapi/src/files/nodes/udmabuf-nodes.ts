import { hugePageLimit, setHugePageLimit, udmabufParameters } from '@dmabuf-emu/exporter-heap';
import { udmabufIoctl } from '../../ioctl/udmabuf.ts';
import { FsMagic } from '../file-behaviour.ts';
import type { FsNode } from '../fs-node.ts';
import { deviceNode } from './device-node.ts';
import { parseNumber, textNode } from './text-node.ts';

const PARAMETERS = '/sys/module/udmabuf/parameters';
const HUGE_PAGES = [
  { path: '/proc/sys/vm/nr_hugepages', magic: FsMagic.PROC },
  { path: '/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages', magic: FsMagic.SYSFS },
];

/** The device, the parameters of its module, and how many huge pages its memfds may have. */
export const UDMABUF_NODES: readonly FsNode[] = [
  deviceNode('/dev/udmabuf', { ioctl: udmabufIoctl }),
  parameter('list_limit', 'listLimit'),
  parameter('size_limit_mb', 'sizeLimitMb'),
  ...HUGE_PAGES.map(({ path, magic }) =>
    textNode({
      path,
      permissions: 0o644,
      magic,
      show: (machine) => `${hugePageLimit(machine)}\n`,
      store: (machine, text) => setHugePageLimit(machine, parseNumber(text)),
    }),
  ),
];

function parameter(name: string, key: 'listLimit' | 'sizeLimitMb'): FsNode {
  return textNode({
    path: `${PARAMETERS}/${name}`,
    permissions: 0o644,
    magic: FsMagic.SYSFS,
    show: (machine) => `${udmabufParameters(machine)[key]}\n`,
    store: (machine, text) => void (udmabufParameters(machine)[key] = parseNumber(text)),
  });
}
