import { className, deviceName, type Topology, type TopologyFunction, vendorName } from '@dmabuf-emu/pci-iommu';
import { kindWord } from './function-facts.ts';
import { printable } from './printable.ts';

/** What a company's name does not need to be recognised. */
const LEGAL_FORM =
  /,? (?:Inc|Corp|Corporation|Co|Ltd|LLC|GmbH|AG|and subsidiaries|Technologies|Technology|Semiconductor|Electronics)\b\.?/giu;

/** Names of a machine's functions for people. */
export class FunctionNames {
  readonly #cut: boolean;

  constructor(topology: Topology) {
    this.#cut = topology.functions.every((fn) => fn.domain === 0);
  }

  /** `41:00.0`; with the domain where the machine has others than 0. */
  short(fn: Pick<TopologyFunction, 'bdf'>): string {
    return this.#cut ? fn.bdf.slice(fn.bdf.indexOf(':') + 1) : fn.bdf;
  }

  /** `NVIDIA AD102GL [RTX 6000 Ada Generation]`, else what is known: vendor, class, ids. */
  of(fn: TopologyFunction): string {
    const vendor = shortVendor(vendorName(fn.vendor) ?? '');
    const device = deviceName(fn.vendor, fn.device);
    const ids = fn.vendor === null || fn.device === null ? '' : `[${hex4(fn.vendor)}:${hex4(fn.device)}]`;
    const parts = device === undefined ? [vendor, className(fn.classCode) ?? '', ids] : [vendor, device];
    const text = parts.filter((part) => part !== '').join(' ');
    return text === '' ? kindWord(fn.kind) : printable(text);
  }
}

function shortVendor(vendor: string): string {
  const bracket = /\[([^\]]+)\]/u.exec(vendor);
  return (bracket?.[1] ?? vendor).replaceAll(LEGAL_FORM, '').trim();
}

function hex4(id: number): string {
  return id.toString(16).padStart(4, '0');
}
