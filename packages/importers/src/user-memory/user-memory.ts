import { PAGE_SIZE, PciSystem } from '@dmabuf-emu/pci-iommu';
import { KernelError, type Machine, orUndo } from '@dmabuf-emu/shm';
import { registerImporters } from '../register.ts';
import { AreaKind, UserAreaStruct as A } from './user-memory-structs.ts';
import { areasOf, freeArea } from './user-pins.ts';

/** Top of a program's memory on x86-64. */
const TASK_SIZE = 0x7fff_ffff_f000;

/**
 * Memory of the calling task's program, as `mmap` gives it out: RAM in pages of 4 KiB, 2 MiB or 1 GiB, and BARs of devices.
 * For I/O address spaces, which take it by its address.
 */
export class UserMemory {
  readonly machine: Machine;
  readonly #pci: PciSystem;

  constructor(machine: Machine) {
    registerImporters(machine);
    this.machine = machine;
    this.#pci = PciSystem.of(machine);
  }

  /**
   * Maps `bytes` of zeros and returns the address: a multiple of the page size, as is where the memory is.
   * @param pageSize - of huge pages: 2 MiB or 1 GiB
   * @kernel mmap, MAP_ANONYMOUS, MAP_HUGETLB
   * @throws KernelError EINVAL for no multiple of the page size, ENOMEM
   */
  mmap(bytes: number, pageSize: number = PAGE_SIZE): number {
    if (!(bytes > 0) || bytes % pageSize !== 0 || pageSize % PAGE_SIZE !== 0) {
      throw new KernelError('EINVAL', 'mmap', `${bytes} bytes in pages of ${pageSize}`);
    }
    const { memory } = this.#pci;
    const [pages, align] = [bytes / PAGE_SIZE, pageSize / PAGE_SIZE];
    const paddr = memory.allocPages(pages, align);
    return orUndo(
      () => {
        this.#clear(paddr, pages);
        return this.#add(paddr, bytes, AreaKind.ANONYMOUS, pageSize);
      },
      () => memory.freePages(paddr, pages),
    );
  }

  /**
   * Maps part of a BAR and returns the address. @kernel io_remap_pfn_range
   * @throws KernelError EINVAL for no whole pages, ENOMEM
   */
  mmapDevice(paddr: number, bytes: number): number {
    if (!(bytes > 0) || bytes % PAGE_SIZE !== 0 || paddr % PAGE_SIZE !== 0) {
      throw new KernelError('EINVAL', 'mmap', `${bytes} bytes at 0x${paddr.toString(16)}: no whole pages`);
    }
    return this.#add(paddr, bytes, AreaKind.PFNMAP, 2 ** Math.floor(Math.log2(Math.min(bytes, 2 ** 30))));
  }

  /** Unmaps what begins at `vaddr`; pages that are pinned stay until they are not. @throws KernelError EINVAL when nothing does */
  munmap(vaddr: number): void {
    const { ref, p } = this.#find(vaddr, 'munmap');
    if (A.vaddr.get(this.machine.mem, p) !== vaddr)
      throw new KernelError('EINVAL', 'munmap', 'in the middle of an area');
    A.gone.store(this.machine.mem, p, 1);
    if (A.pins.load(this.machine.mem, p) === 0) freeArea(this.machine, ref);
  }

  /** Reads as the program does. @throws KernelError EFAULT */
  read(vaddr: number, bytes: number): Uint8Array {
    return this.#pci.memory.cpuRead(this.#physical(vaddr, bytes), bytes);
  }

  /** Writes as the program does. @throws KernelError EFAULT, ENOMEM */
  write(vaddr: number, bytes: Uint8Array): void {
    this.#pci.memory.cpuWrite(this.#physical(vaddr, bytes.length), bytes);
  }

  #add(paddr: number, bytes: number, kind: number, align: number): number {
    const { machine } = this;
    const { mem } = machine;
    const lowest = Math.min(TASK_SIZE, ...areasOf(machine, machine.tid).map(({ p }) => A.vaddr.get(mem, p)));
    const slab = machine.slab(A);
    const ref = slab.alloc('user_area');
    const p = slab.at(ref);
    // Large pages line up only where the address and the place agree.
    const vaddr =
      Math.floor((lowest - bytes - PAGE_SIZE) / align) * align -
      (kind === AreaKind.PFNMAP ? align - (paddr % align) : 0);
    A.task.set(mem, p, machine.tid);
    A.vaddr.set(mem, p, vaddr);
    A.bytes.set(mem, p, bytes);
    A.paddr.set(mem, p, paddr);
    A.kind.set(mem, p, kind);
    return vaddr;
  }

  #physical(vaddr: number, bytes: number): number {
    const { mem } = this.machine;
    const { p } = this.#find(vaddr, 'access');
    const at = vaddr - A.vaddr.get(mem, p);
    if (at + bytes > A.bytes.get(mem, p)) throw new KernelError('EFAULT', 'access', `${bytes} bytes leave the area`);
    return A.paddr.get(mem, p) + at;
  }

  #find(vaddr: number, call: string): { ref: number; p: number } {
    const { mem, tid } = { mem: this.machine.mem, tid: this.machine.tid };
    const found = areasOf(this.machine, tid).find(({ p }) => {
      const start = A.vaddr.get(mem, p);
      return vaddr >= start && vaddr < start + A.bytes.get(mem, p);
    });
    if (found === undefined) throw new KernelError('EFAULT', call, `0x${vaddr.toString(16)}: nothing is mapped`);
    return found;
  }

  /** Zeros what was used before: pages that were never touched are zeros. */
  #clear(paddr: number, pages: number): void {
    const { memory } = this.#pci;
    const region = memory.map.regionAt(paddr)!;
    const frame = region.frame + (paddr - region.start) / PAGE_SIZE;
    for (let i = 0; i < pages; i++) {
      if (memory.backing(frame + i) !== 0) memory.cpuFill(paddr + i * PAGE_SIZE, 0, PAGE_SIZE);
    }
  }
}
