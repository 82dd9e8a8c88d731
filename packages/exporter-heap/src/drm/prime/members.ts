import { DmaBuf } from '@dmabuf-emu/core';
import { i32, ref, struct } from '@dmabuf-emu/shm';
import { DrmFileStruct as F } from '../device/drm-file-struct.ts';
import type { OpenFile } from '../device/open-file.ts';

/** That a dma-buf has a handle in a file; holds a reference to the buffer. @kernel drm_prime_member */
const PrimeMemberStruct = struct('drm_prime_member', { dmabuf: ref(), handle: i32(), next: ref() });
const M = PrimeMemberStruct;

/** Notes the buffer's handle and takes a reference. @kernel drm_prime_add_buf_handle @locks prime.lock held @throws KernelError ENOMEM */
export function addMember(file: OpenFile, dmabuf: DmaBuf, handle: number): void {
  const { machine } = file;
  file.primeLock.assertHeld('drm_prime_add_buf_handle');
  const slab = machine.slab(M);
  const member = slab.alloc('drm_prime_add_buf_handle');
  const p = slab.at(member);
  dmabuf.get();
  M.dmabuf.set(machine.mem, p, dmabuf.ref);
  M.handle.set(machine.mem, p, handle);
  M.next.set(machine.mem, p, F.primeMembers.get(machine.mem, file.p));
  F.primeMembers.set(machine.mem, file.p, member);
}

/** Forgets the handle, if it is one of a buffer, and drops the reference. @kernel drm_prime_remove_buf_handle @locks prime.lock held */
export function removeMember(file: OpenFile, handle: number): void {
  const { machine } = file;
  const { mem } = machine;
  const slab = machine.slab(M);
  file.primeLock.assertHeld('drm_prime_remove_buf_handle');
  let link = file.p + F.primeMembers.at;
  for (let member = mem.i32[link]!; member !== 0; member = mem.i32[link]!) {
    const p = slab.at(member);
    if (M.handle.get(mem, p) !== handle) {
      link = p + M.next.at;
      continue;
    }
    const dmabuf = DmaBuf.of(machine, M.dmabuf.get(mem, p));
    mem.i32[link] = M.next.get(mem, p);
    slab.free(member, 'drm_prime_remove_buf_handle');
    dmabuf.put();
    return;
  }
}

/** The handle of a buffer, the oldest where it has several; 0 for none. @kernel drm_prime_lookup_buf_handle @locks prime.lock held */
export function handleOf(file: OpenFile, dmabuf: DmaBuf): number {
  let found = 0;
  for (const member of members(file)) if (member.dmabuf === dmabuf.ref) found = member.handle;
  return found;
}

/** The buffer that a handle is noted for, without a reference. @kernel drm_prime_lookup_buf_by_handle @locks prime.lock held */
export function bufferOf(file: OpenFile, handle: number): DmaBuf | null {
  for (const member of members(file)) {
    if (member.handle === handle) return DmaBuf.of(file.machine, member.dmabuf);
  }
  return null;
}

/** Newest first. @locks prime.lock held, or a quiet machine */
export function* members({ machine, p }: OpenFile): Generator<{ dmabuf: number; handle: number }> {
  const slab = machine.slab(M);
  for (let member = F.primeMembers.get(machine.mem, p); member !== 0;) {
    const at = slab.at(member);
    yield { dmabuf: M.dmabuf.get(machine.mem, at), handle: M.handle.get(machine.mem, at) };
    member = M.next.get(machine.mem, at);
  }
}
