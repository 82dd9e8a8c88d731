import { FdTable } from '@dmabuf-emu/core';
import type { Machine } from '@dmabuf-emu/shm';
import { AddressSpace } from './address-space.ts';
import { prepareProcesses } from './prepare.ts';
import { ProcessStruct as P } from './process-struct.ts';
import { UserMemory } from './user-memory.ts';
import { UserStack } from './user-stack.ts';

const DEFAULT_MEMLOCK_BYTES = 8 << 20;

/** What another thread needs to become a thread of the same program. */
export interface ProcessHandle {
  readonly schema: 'dmabuf-emu/process@1';
  readonly ref: number;
}

/**
 * An emulated program: descriptors, memory, user and limits. A handle of the calling thread, which is one of its threads;
 * descriptors, user and limits belong to all of them, mappings to the thread that made them.
 */
export class Process {
  readonly machine: Machine;
  readonly ref: number;
  readonly fds: FdTable;
  readonly space: AddressSpace = new AddressSpace();
  readonly memory: UserMemory;

  private constructor(machine: Machine, process: number) {
    this.machine = machine;
    this.ref = process;
    prepareProcesses(machine);
    this.fds = FdTable.of(machine, P.table.get(machine.mem, machine.slab(P).at(process))).join();
    this.memory = new UserMemory(this.space, new UserStack(machine.tid));
  }

  /** A program of user root without descriptors, whose first thread is the calling one. @throws KernelError ENOMEM */
  static create(machine: Machine, { name = 'process' }: { name?: string } = {}): Process {
    const slab = machine.slab(P);
    const ref = slab.alloc('copy_process');
    let table: FdTable;
    try {
      table = FdTable.create(machine, { name });
    } catch (error) {
      slab.free(ref, 'copy_process');
      throw error;
    }
    const p = slab.at(ref);
    P.table.set(machine.mem, p, table.ref);
    P.uid.set(machine.mem, p, 0);
    P.gid.set(machine.mem, p, 0);
    P.memlockBytes.set(machine.mem, p, DEFAULT_MEMLOCK_BYTES);
    return new Process(machine, ref);
  }

  /** Makes the calling thread one more thread of a program. */
  static join(machine: Machine, { ref }: ProcessHandle): Process {
    return new Process(machine, ref);
  }

  get handle(): ProcessHandle {
    return { schema: 'dmabuf-emu/process@1', ref: this.ref };
  }

  get name(): string {
    return this.fds.name;
  }

  get uid(): number {
    return P.uid.get(this.machine.mem, this.#p);
  }

  get gid(): number {
    return P.gid.get(this.machine.mem, this.#p);
  }

  /** Changes the user for good. @kernel setuid, setgid */
  setUser(uid: number, gid: number): void {
    P.uid.set(this.machine.mem, this.#p, uid);
    P.gid.set(this.machine.mem, this.#p, gid);
  }

  get memlockBytes(): number {
    return P.memlockBytes.get(this.machine.mem, this.#p);
  }

  set memlockBytes(bytes: number) {
    P.memlockBytes.set(this.machine.mem, this.#p, bytes);
  }

  /** The calling thread ends what it has mapped and leaves. With the last thread the descriptors are closed, in order. @kernel do_exit */
  exitThread(): void {
    for (const { start, end } of this.space.areas) this.space.remove(start, end);
    FdTable.exit(this.machine);
  }

  /** {@link exitThread} of the program's last thread; the program is gone. @kernel exit_group */
  exit(): void {
    this.exitThread();
    this.machine.slab(P).free(this.ref, 'exit_group');
  }

  get #p(): number {
    return this.machine.slab(P).at(this.ref);
  }
}
