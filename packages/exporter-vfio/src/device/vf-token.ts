import { KernelError, type Machine, mutexOf, Random, UsageError } from '@dmabuf-emu/shm';
import { VfioCore } from './vfio-core.ts';
import { VfioStruct as V } from './vfio-struct.ts';

const UUID_PATTERN = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/iu;
export const UUID_BYTES = 16;

/** The bytes of a UUID, in the order of its text. @throws UsageError for anything else */
export function uuidBytes(text: string): Uint8Array {
  if (!UUID_PATTERN.test(text)) throw new UsageError(`expected a UUID, got ${JSON.stringify(text)}`);
  return Uint8Array.from(text.replaceAll('-', '').match(/../gu) ?? [], (byte) => Number.parseInt(byte, 16));
}

/**
 * A physical function with SR-IOV gets a token that nobody knows; a virtual function remembers whether the driver has its
 * physical function. @kernel vfio_pci_vf_init
 */
export function initToken(core: VfioCore): void {
  const { mem } = core.machine;
  const { physfn } = core.fn.topology;
  if (physfn !== null) {
    V.pfBound.set(mem, core.p, V.bound.load(mem, VfioCore.of(core.machine, physfn.index).p));
    return;
  }
  const random = new Random(core.fn.index).fork('vfio.token');
  for (let i = 0; i < V.token.words; i++) V.token.set(mem, core.p, i, random.next32() | 0);
}

/**
 * Whether this token opens the device: a virtual function needs its physical function's one; so does a physical function
 * whose virtual functions are open, else it takes a new one.
 * @kernel vfio_pci_validate_vf_token
 * @throws KernelError EACCES, EINVAL for a token that the device has no use for
 */
export function validateToken(core: VfioCore, token: Uint8Array | null): void {
  const { mem } = core.machine;
  const pf = physicalCore(core);
  if (pf === null) {
    if (token !== null) throw refused(core, 'EINVAL', 'needs no token');
    return;
  }
  withToken(pf, () => {
    if (pf === core && V.vfUsers.load(mem, pf.p) === 0) {
      if (token !== null) writeToken(pf, token);
      return;
    }
    if (token === null) throw refused(core, 'EACCES', 'needs a token');
    const known = tokenBytes(pf);
    if (!known.every((byte, i) => byte === token[i])) throw refused(core, 'EACCES', 'has another token');
  });
}

/** A virtual function was opened or closed: until the last is closed, its physical function's token cannot change by an open. */
export function countVfUser(core: VfioCore, by: 1 | -1): void {
  const pf = physicalCore(core);
  if (pf !== null && pf !== core) withToken(pf, () => V.vfUsers.add(core.machine.mem, pf.p, by));
}

/** Sets the token of a physical function. @kernel vfio_pci_core_feature_token @throws KernelError ENOTTY without SR-IOV */
export function setToken(core: VfioCore, token: Uint8Array): void {
  if (physicalCore(core) !== core) throw refused(core, 'ENOTTY', 'is no physical function with SR-IOV');
  withToken(core, () => writeToken(core, token));
}

/** Whether the device has a token that can be set. */
export function hasToken(core: VfioCore): boolean {
  return physicalCore(core) === core;
}

/** Whose token counts for a device: its own, that of its physical function, or none. */
function physicalCore(core: VfioCore): VfioCore | null {
  const { physfn } = core.fn.topology;
  if (physfn === null) return core.fn.config.capabilities.sriov ? core : null;
  return V.pfBound.get(core.machine.mem, core.p) === 0 ? null : VfioCore.of(core.machine, physfn.index);
}

function withToken(pf: VfioCore, fn: () => void): void {
  mutexOf(pf.machine, pf.p, V.tokenLock).with(fn);
}

function tokenBytes({ machine, p }: VfioCore): Uint8Array {
  return machine.mem.read(tokenAt(p), UUID_BYTES);
}

function writeToken({ machine, p }: { machine: Machine; p: number }, token: Uint8Array): void {
  machine.mem.write(tokenAt(p), token);
}

function tokenAt(p: number): number {
  return (p + V.token.at) * 4;
}

function refused({ fn }: VfioCore, code: 'EACCES' | 'EINVAL' | 'ENOTTY', what: string): KernelError {
  return new KernelError(code, 'vfio_pci_validate_vf_token', `${fn.bdf} ${what}`);
}
