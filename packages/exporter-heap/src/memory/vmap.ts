import type { KernelMapping } from '@dmabuf-emu/core';
import { PAGE_SIZE } from '@dmabuf-emu/pci-iommu';
import {
  atomicAdd,
  i32,
  KernelError,
  type Machine,
  orUndo,
  struct,
  u53,
  UsageError,
  type VerifyBuilder,
} from '@dmabuf-emu/shm';
import { ramOf } from './page-bytes.ts';
import type { PageRun } from './page-list.ts';
import { XARRAY_FIELDS, XArray } from './xarray.ts';

/** First address of the kernel's mappings: above every byte offset in a machine's memory. @kernel VMALLOC_START */
const VMALLOC_START = 2 ** 48;

/** Pages mapped in a row into the kernel's address space; the array holds page frame numbers. @kernel vm_struct */
const VmapStruct = struct('vm_struct', { address: u53(), pages: u53(), ...XARRAY_FIELDS, ownerTask: i32() });
const V = VmapStruct;

/**
 * Maps pages in a row into the kernel's address space. The pages must stay until {@link vunmapPages}. The mapping's address is
 * good in every thread; its bytes are reached through {@link readKernel} and {@link writeKernel}.
 * @kernel vmap
 * @throws KernelError ENOMEM
 */
export function vmapPages(machine: Machine, runs: readonly PageRun[]): KernelMapping {
  const slab = machine.slab(V);
  const ref = slab.alloc('vmap');
  const p = slab.at(ref);
  const array = new XArray(machine, p, V);
  orUndo(
    () => {
      let pages = 0;
      for (const { paddr, len } of runs) {
        for (let at = 0; at < len; at += PAGE_SIZE) array.insert(pages++, (paddr + at) / PAGE_SIZE);
      }
      V.pages.set(machine.mem, p, pages);
    },
    () => {
      array.destroy();
      slab.free(ref, 'vmap');
    },
  );
  const { mem } = machine;
  // A page that is never mapped lies behind each mapping.
  const first = atomicAdd(mem, machine.root('heap.vmalloc', 16), V.pages.get(mem, p) + 1) >>> 0;
  V.ownerTask.set(mem, p, machine.tid);
  V.address.set(mem, p, VMALLOC_START + first * PAGE_SIZE);
  return { address: V.address.get(mem, p), isIomem: false };
}

/** @kernel vunmap */
export function vunmapPages(machine: Machine, mapping: KernelMapping): void {
  const ref = areaOf(machine, mapping.address);
  if (ref === 0) {
    machine.diag.warn('vunmap', `nothing is mapped at 0x${mapping.address.toString(16)}`);
    return;
  }
  const slab = machine.slab(V);
  const p = slab.at(ref);
  new XArray(machine, p, V).destroy();
  V.address.set(machine.mem, p, 0);
  slab.free(ref, 'vunmap');
}

/** A copy of bytes at an address of {@link vmapPages}. @throws KernelError EFAULT where nothing is mapped */
export function readKernel(machine: Machine, address: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  eachPage(machine, address, length, (paddr, done, count) => bytes.set(ramOf(machine).cpuRead(paddr, count), done));
  return bytes;
}

/** Stores bytes at an address of {@link vmapPages}. @throws KernelError EFAULT where nothing is mapped, ENOMEM */
export function writeKernel(machine: Machine, address: number, bytes: Uint8Array): void {
  eachPage(machine, address, bytes.length, (paddr, done, count) =>
    ramOf(machine).cpuWrite(paddr, bytes.subarray(done, done + count)),
  );
}

/** Reports mappings that nobody took back. */
export function verifyVmaps(machine: Machine, report: VerifyBuilder): void {
  const deaths = machine.tasks().some(({ state }) => state === 'dead');
  report.count('vmap', 0);
  for (const ref of machine.slab(V).live()) {
    const text = `${V.pages.get(machine.mem, machine.slab(V).at(ref))} pages are mapped into the kernel`;
    report.count('vmap', 1);
    if (deaths) report.damage('vmap', text);
    else report.leak('vmap', text);
  }
}

function eachPage(
  machine: Machine,
  address: number,
  length: number,
  visit: (paddr: number, done: number, count: number) => void,
): void {
  const ref = areaOf(machine, address);
  const p = ref === 0 ? 0 : machine.slab(V).at(ref);
  const start = p === 0 ? 0 : V.address.get(machine.mem, p);
  if (p === 0 || address + length > start + V.pages.get(machine.mem, p) * PAGE_SIZE) {
    throw new KernelError('EFAULT', 'vmap', `0x${address.toString(16)}+${length} is not mapped into the kernel`);
  }
  const array = new XArray(machine, p, V);
  for (let done = 0; done < length;) {
    const at = address - start + done;
    const page = Math.floor(at / PAGE_SIZE);
    const within = at - page * PAGE_SIZE;
    const count = Math.min(PAGE_SIZE - within, length - done);
    visit(array.load(page) * PAGE_SIZE + within, done, count);
    done += count;
  }
}

/** The mapping that an address lies in; 0 for none. There are few: they are searched one by one. */
function areaOf(machine: Machine, address: number): number {
  if (!(address >= 0)) throw new UsageError(`a kernel address is a number above 0, got ${address}`);
  const slab = machine.slab(V);
  for (const ref of slab.live()) {
    const p = slab.tryAt(ref);
    if (p === 0) continue;
    const start = V.address.get(machine.mem, p);
    if (start !== 0 && address >= start && address < start + V.pages.get(machine.mem, p) * PAGE_SIZE) return ref;
  }
  return 0;
}
