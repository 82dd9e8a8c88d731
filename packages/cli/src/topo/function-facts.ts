import {
  ACS_FLAG_NAMES,
  type BarDescription,
  type FunctionKind,
  type KernelAcs,
  type TopologyFunction,
} from '@dmabuf-emu/pci-iommu';
import { byteSize } from './byte-size.ts';

const KIND_WORDS: Readonly<Record<FunctionKind, string>> = {
  'host-bridge': 'host bridge',
  'root-port': 'root port',
  'upstream-port': 'switch upstream port',
  'downstream-port': 'switch downstream port',
  'pcie-to-pci-bridge': 'PCIe-to-PCI bridge',
  'pci-to-pcie-bridge': 'PCI-to-PCIe bridge',
  'pci-bridge': 'PCI bridge',
  'unknown-bridge': 'bridge',
  endpoint: 'endpoint',
  'legacy-endpoint': 'legacy endpoint',
  rciep: 'integrated endpoint',
  'rc-event-collector': 'event collector',
  vf: 'virtual function',
  'pci-device': 'PCI device',
  'unknown-device': 'device',
};

/** What a function is, in words. */
export function kindWord(kind: FunctionKind): string {
  return KIND_WORDS[kind];
}

/** `16M 64G* 32M`: memory BARs in their order, `*` for prefetchable ones, `?` for those whose size is not known. */
export function barText(fn: TopologyFunction): string {
  return fn.bars
    .filter(({ kind }) => kind !== 'io')
    .map((bar) => barSize(bar) + (bar.prefetchable ? '*' : ''))
    .join(' ');
}

function barSize(bar: BarDescription): string {
  return bar.size === 0 ? '?' : byteSize(bar.size);
}

/** What ACS does at a function: it turns traffic of peers towards the root complex, it does not, or that is not known. */
export type AcsMark = 'redirects' | 'passes' | 'unknown' | 'none';

/** The mark of a function in a tree. */
export function acsMark(acs: KernelAcs, fn: TopologyFunction): AcsMark {
  const redirects = acs.redirection(fn);
  if (redirects === 'unknown') return 'unknown';
  if (redirects) return 'redirects';
  return fn.acs === null ? 'none' : 'passes';
}

/** The words of a mark; none for what is usual: a device without ACS. */
export function acsText(fn: TopologyFunction, mark: AcsMark): string {
  switch (mark) {
    case 'redirects':
      return 'ACS redirects';
    case 'passes':
      return fn.isBridge ? 'ACS off' : '';
    case 'unknown':
      return fn.isBridge ? 'ACS ?' : '';
    case 'none':
      return fn.isBridge ? 'no ACS' : '';
  }
}

/** `ReqRedir CmpltRedir`: the bits of a control word, in the spelling of lspci. */
export function acsBits(word: number): string {
  return ACS_FLAG_NAMES.filter((_, bit) => (word & (1 << bit)) !== 0).join(' ');
}
