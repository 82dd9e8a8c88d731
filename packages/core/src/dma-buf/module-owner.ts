import { i32, KernelError, type Machine, refDec, refIncNotZero, refcount, struct } from '@dmabuf-emu/shm';

/** `refs` counts one for the module being loaded, and one for each buffer. */
const ModuleStruct = struct('module', { refs: refcount(), name: i32(), going: i32() });
const M = ModuleStruct;

/** The module that an exporter is part of: it cannot be unloaded while its buffers live. @kernel module */
export class ModuleOwner {
  readonly machine: Machine;
  readonly ref: number;

  constructor(machine: Machine, moduleRef: number) {
    this.machine = machine;
    this.ref = moduleRef;
  }

  /** Loads a module. @throws KernelError ENOMEM */
  static load(machine: Machine, name: string): ModuleOwner {
    const slab = machine.slab(M);
    const ref = slab.alloc('load_module');
    M.name.set(machine.mem, slab.at(ref), machine.intern(name));
    M.refs.store(machine.mem, slab.at(ref), 1);
    return new ModuleOwner(machine, ref);
  }

  static of(machine: Machine, moduleRef: number): ModuleOwner {
    return new ModuleOwner(machine, moduleRef);
  }

  get name(): string {
    return this.machine.string(M.name.get(this.machine.mem, this.#p));
  }

  /** False once the module is going away. */
  get live(): boolean {
    return M.going.load(this.machine.mem, this.#p) === 0;
  }

  /** Users of the module. @kernel module_refcount */
  get users(): number {
    return M.refs.load(this.machine.mem, this.#p) - (this.live ? 1 : 0);
  }

  /** Takes a reference unless the module is going away; tells whether it did. @kernel try_module_get */
  tryGet(): boolean {
    if (!this.live || !refIncNotZero(this.machine, this.#p, M.refs)) return false;
    if (this.live) return true;
    this.put();
    return false;
  }

  /** @kernel module_put */
  put(): void {
    refDec(this.machine, this.#p, M.refs);
  }

  /** The module starts going away: no new references from now on. @kernel delete_module, MODULE_STATE_GOING */
  beginUnload(): void {
    if (M.going.exchange(this.machine.mem, this.#p, 1) === 0) this.put();
  }

  /** Unloads the module. @throws KernelError EBUSY while it has users. */
  unload(): void {
    const { users } = this;
    if (users > 0) throw new KernelError('EBUSY', 'delete_module', `module '${this.name}' has ${users} users`);
    this.beginUnload();
    this.machine.slab(M).free(this.ref, 'delete_module');
  }

  get #p(): number {
    return this.machine.slab(M).at(this.ref);
  }
}
