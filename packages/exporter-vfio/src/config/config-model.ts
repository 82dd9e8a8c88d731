import { type ConfigSpace, EXTENDED_AT, Reg } from '@dmabuf-emu/pci-iommu';
import { capabilityLength } from './capability-lengths.ts';
import { capabilityPermissions, extendedPermissions, headerPermissions } from './capability-permissions.ts';
import * as R from './registers.ts';

/** A capability of a function: where it begins and how many bytes it claims. */
export interface Capability {
  readonly id: number;
  readonly at: number;
  readonly length: number;
}

/** Owner of bytes that nothing claims, and of the header's bytes. @kernel PCI_CAP_ID_INVALID, PCI_CAP_ID_BASIC */
export const OWNER_NONE = 0xffff;
export const OWNER_HEADER = 0;
/** Added to the ids of extended capabilities. */
export const OWNER_EXTENDED = 0x1000;
const NEXT_SHIFT = 20;
const HEADER_NEXT = 0xffc0_0000 | 0;
const HEADER_BYTES = 4;

/** Bits of the virtual copy that differ from the hardware's. */
export interface VirtualBits {
  readonly at: number;
  readonly size: 1 | 4;
  readonly mask: number;
  readonly value: number;
}

/**
 * How VFIO shows one function's configuration space: who owns each byte, and for every byte which bits come from the virtual
 * copy (`virt`) and which can be written at all (`write`). Fixed for a function's life.
 * @kernel pci_config_map, perm_bits
 */
export class ConfigModel {
  /** Bytes of the space. */
  readonly size: number;
  readonly capabilities: readonly Capability[];
  readonly virt: Uint8Array;
  readonly write: Uint8Array;
  /** The lists without the capabilities that VFIO hides. @kernel vfio_cap_init, vfio_ecap_init */
  readonly links: readonly VirtualBits[];
  readonly #owner: Uint16Array;

  constructor(hardware: ConfigSpace) {
    this.size = hardware.size;
    this.virt = new Uint8Array(this.size);
    this.write = new Uint8Array(this.size);
    this.#owner = new Uint16Array(this.size).fill(OWNER_NONE);
    this.#owner.fill(OWNER_HEADER, 0, R.PCI_STD_HEADER_SIZEOF);
    const shown = hardware.layout.capabilities.map(({ id, at, extended }) => ({
      id,
      at,
      extended,
      length: capabilityLength(hardware, id, at, extended),
    }));
    headerPermissions(this);
    for (const { id, at, extended, length } of shown) {
      if (length === 0) continue;
      this.#owner.fill(extended ? OWNER_EXTENDED + id : id, at, at + length);
      if (extended) extendedPermissions(this, id, at);
      else capabilityPermissions(hardware, this, id, at);
    }
    this.capabilities = shown
      .filter(({ length }) => length > 0)
      .map(({ id, at, extended, length }) => ({ id: extended ? OWNER_EXTENDED + id : id, at, length }));
    this.links = [...conventionalLinks(shown), ...this.#extendedLinks(shown)];
  }

  /** Whom the byte at `position` belongs to: {@link OWNER_HEADER}, {@link OWNER_NONE} or a capability's id. */
  owner(position: number): number {
    return this.#owner[position] ?? OWNER_NONE;
  }

  /** Offset of a capability; 0 when the user does not see it. */
  capabilityAt(id: number): number {
    return this.capabilities.find((capability) => capability.id === id)?.at ?? 0;
  }

  /**
   * Bytes of a transfer that are handled in one go from `position` on: at most 4, naturally aligned, all of one owner.
   * @kernel vfio_pci_cap_remaining_dword
   */
  piece(position: number, count: number): 1 | 2 | 4 {
    const owner = this.owner(position);
    let same = 1;
    while ((position + same) % 4 !== 0 && this.owner(position + same) === owner) same++;
    const most = Math.min(count, same);
    if (most >= 4 && position % 4 === 0) return 4;
    return most >= 2 && position % 2 === 0 ? 2 : 1;
  }

  /** The list begins at its fixed place: a hidden capability there keeps its link, and has no id. */
  #extendedLinks(shown: readonly Shown[]): VirtualBits[] {
    const list = shown.filter(({ extended }) => extended);
    const first = list[0];
    const links: VirtualBits[] = [];
    if (first === undefined) return links;
    if (first.length === 0) {
      links.push({ at: EXTENDED_AT, size: 4, mask: 0x000f_ffff, value: 0 });
      this.virt.fill(0xff, EXTENDED_AT, EXTENDED_AT + HEADER_BYTES);
      this.#owner.fill(OWNER_EXTENDED, EXTENDED_AT, EXTENDED_AT + HEADER_BYTES);
    }
    const kept = [first, ...list.slice(1).filter(({ length }) => length > 0)];
    kept.forEach(({ at }, i) => {
      links.push({ at, size: 4, mask: HEADER_NEXT, value: (kept[i + 1]?.at ?? 0) << NEXT_SHIFT });
    });
    return links;
  }
}

interface Shown extends Capability {
  readonly extended: boolean;
}

function conventionalLinks(shown: readonly Shown[]): VirtualBits[] {
  const kept = shown.filter(({ extended, length }) => !extended && length > 0);
  return [Reg.CAPABILITY_LIST, ...kept.map(({ at }) => at + 1)].map((at, i) => ({
    at,
    size: 1,
    mask: 0xff,
    value: kept[i]?.at ?? 0,
  }));
}
