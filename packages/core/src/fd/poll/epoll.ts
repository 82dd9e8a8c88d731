import { isKernelError, KernelError, type Machine, Mutex, orUndo, type WaitQueue, waitQueueOf } from '@dmabuf-emu/shm';
import { FdTable } from '../fd-table.ts';
import { File } from '../file.ts';
import { OpenFlags } from '../open-flags.ts';
import { registerFileOps } from '../register-file-ops.ts';
import { EPOLL_FILE } from './internal/ask-item.ts';
import { collect, type EpollReport } from './internal/collect.ts';
import { dropItem, findItem, insertItem, modifyItem } from './internal/control.ts';
import { EPOLL_FILE_OPS } from './internal/epoll-file.ts';
import { epollMutex } from './internal/items.ts';
import { checkNesting } from './internal/nesting.ts';
import { hasReady } from './internal/ready-list.ts';
import { EpollItemStruct as I, EpollStruct as P } from './internal/structs.ts';
import { PollEvents } from './poll-events.ts';

/** What to watch a file for: a mask of {@link PollEvents}, and 64 bits of the caller's. @kernel epoll_event */
export interface EpollEvent {
  readonly events: number;
  readonly data: bigint;
}

/** How to wait. */
export interface EpollWaitOptions {
  /** Most files to tell of. */
  readonly maxEvents?: number;
  /** On the machine's clock; without limit when it is left out or below 0. */
  readonly timeoutMs?: number;
  /** End with EINTR when the task has a signal pending. */
  readonly interruptible?: boolean;
}

const DEFAULT_MAX_EVENTS = 64;
/** What an item that is woken alone may ask for. @kernel EPOLLEXCLUSIVE_OK_BITS */
const EXCLUSIVE_OK =
  PollEvents.IN |
  PollEvents.OUT |
  PollEvents.ERR |
  PollEvents.HUP |
  PollEvents.WAKEUP |
  PollEvents.ET |
  PollEvents.EXCLUSIVE;

/**
 * An epoll file: watches any number of files, by descriptor, and tells which are ready, in the order in which they became so.
 * A handle over the file; the reference to that is the caller's affair. @kernel eventpoll
 */
export class Epoll {
  readonly machine: Machine;
  readonly file: File;
  readonly #ep: number;
  readonly #p: number;

  private constructor(file: File) {
    this.machine = file.machine;
    this.file = file;
    this.#ep = file.priv;
    this.#p = file.machine.slab(P).at(this.#ep);
  }

  /** An epoll file with one reference, which the caller owns. @kernel do_epoll_create @throws KernelError ENOMEM, ENFILE */
  static create(machine: Machine): Epoll {
    registerFileOps(machine, EPOLL_FILE_OPS);
    const slab = machine.slab(P);
    const ep = slab.alloc('ep_alloc');
    const file = orUndo(
      () => File.create(machine, { type: EPOLL_FILE, priv: ep, flags: OpenFlags.RDWR }, 'eventpoll.file'),
      () => slab.free(ep, 'ep_alloc'),
    );
    P.refs.store(machine.mem, slab.at(ep), 1);
    P.file.set(machine.mem, slab.at(ep), file.ref);
    return new Epoll(file);
  }

  /** @throws KernelError EINVAL when `file` is of another kind */
  static of(file: File): Epoll {
    registerFileOps(file.machine, EPOLL_FILE_OPS);
    if (file.type === EPOLL_FILE) return new Epoll(file);
    throw new KernelError('EINVAL', 'epoll', `a ${file.type} file is no epoll file`);
  }

  /**
   * Starts to watch what is behind `fd` of the calling task's process.
   * @throws KernelError EBADF; EPERM when it cannot be polled; EINVAL for itself, or EXCLUSIVE with what does not go with it;
   *   ELOOP; EEXIST; ENOMEM
   * @kernel EPOLL_CTL_ADD
   */
  add(fd: number, { events, data }: EpollEvent): void {
    const { machine } = this;
    this.#control(fd, (file) => {
      const inner = file.type === EPOLL_FILE;
      if ((events & PollEvents.EXCLUSIVE) !== 0 && (inner || (events & ~EXCLUSIVE_OK) !== 0)) throw badExclusive();
      const insert = (): void =>
        this.#locked(() => {
          if (findItem(machine, this.#p, file, fd) !== 0)
            throw new KernelError('EEXIST', 'epoll_ctl', `descriptor ${fd} is watched already`);
          insertItem(machine, this.#ep, file, fd, events, data);
        });
      if (!inner) return insert();
      new Mutex(machine, machine.root('core.epoll', 16), 'epnested_mutex').with(() => {
        checkNesting(machine, this.file, file);
        insert();
      });
    });
  }

  /** Watches it for something else from now on. @kernel EPOLL_CTL_MOD @throws KernelError EBADF, EPERM, EINVAL, ENOENT */
  modify(fd: number, { events, data }: EpollEvent): void {
    this.#control(fd, (file) => {
      if ((events & PollEvents.EXCLUSIVE) !== 0) throw badExclusive();
      this.#locked(() => {
        const item = this.#require(file, fd);
        if ((I.events.load(this.machine.mem, this.machine.slab(I).at(item)) & PollEvents.EXCLUSIVE) !== 0)
          throw badExclusive();
        modifyItem(this.machine, this.#p, item, events, data);
      });
    });
  }

  /** Stops watching it. @kernel EPOLL_CTL_DEL @throws KernelError EBADF, EPERM, EINVAL, ENOENT */
  remove(fd: number): void {
    this.#control(fd, (file) => {
      this.#locked(() => dropItem(this.machine, this.#ep, this.#require(file, fd)));
    });
  }

  /**
   * Waits until files that it watches are ready, and tells of up to `maxEvents`; of none when the timeout passed first.
   * @throws KernelError EINVAL for a bad `maxEvents`; EINTR when `interruptible` and a signal is pending; EOWNERDEAD
   * @kernel ep_poll
   */
  wait({
    maxEvents = DEFAULT_MAX_EVENTS,
    timeoutMs = -1,
    interruptible = false,
  }: EpollWaitOptions = {}): EpollReport[] {
    const { machine } = this;
    if (!Number.isInteger(maxEvents) || maxEvents < 1) {
      throw new KernelError('EINVAL', 'epoll_wait', `maxEvents must be a whole number above 0, got ${maxEvents}`);
    }
    const endMs = timeoutMs < 0 ? Number.POSITIVE_INFINITY : machine.clock.nowMs() + timeoutMs;
    for (;;) {
      const left = endMs - machine.clock.nowMs();
      const found = hasReady(machine, this.#p) ? collect(machine, this.#p, maxEvents) : [];
      if (found.length > 0 || left <= 0) return found;
      const limit = Number.isFinite(left) ? { timeoutMs: left } : {};
      try {
        this.#waiters.waitUntil(() => hasReady(machine, this.#p), { ...limit, interruptible });
      } catch (error) {
        if (!isKernelError(error, 'ERESTARTSYS')) throw error;
        throw new KernelError('EINTR', 'epoll_wait', 'a signal is pending');
      }
    }
  }

  /** {@link wait} for an event loop: keeps the process alive until it resolves. */
  async waitAsync({ maxEvents, timeoutMs = -1 }: Omit<EpollWaitOptions, 'interruptible'> = {}): Promise<EpollReport[]> {
    const { machine } = this;
    const endMs = timeoutMs < 0 ? Number.POSITIVE_INFINITY : machine.clock.nowMs() + timeoutMs;
    for (;;) {
      const left = endMs - machine.clock.nowMs();
      const found = this.wait({ ...(maxEvents === undefined ? {} : { maxEvents }), timeoutMs: 0 });
      if (found.length > 0 || left <= 0) return found;
      await this.#waiters.waitUntilAsync(() => hasReady(machine, this.#p), Number.isFinite(left) ? left : -1);
    }
  }

  get #waiters(): WaitQueue {
    return waitQueueOf(this.machine, this.#p, P.waiters);
  }

  /** Runs `fn` on the file behind `fd`, once it is sure that it can be watched. @kernel do_epoll_ctl */
  #control(fd: number, fn: (file: File) => void): void {
    const file = FdTable.current(this.machine).get(fd);
    orUndo(
      () => {
        if (file.ops.poll === undefined) {
          throw new KernelError('EPERM', 'epoll_ctl', `descriptor ${fd} is a ${file.type} file: it cannot be polled`);
        }
        if (file.ref === this.file.ref)
          throw new KernelError('EINVAL', 'epoll_ctl', 'an epoll file cannot watch itself');
        fn(file);
      },
      () => file.put(),
    );
    file.put();
  }

  #locked(fn: () => void): void {
    epollMutex(this.machine, this.#p).with(fn);
  }

  #require(file: File, fd: number): number {
    const item = findItem(this.machine, this.#p, file, fd);
    if (item !== 0) return item;
    throw new KernelError('ENOENT', 'epoll_ctl', `descriptor ${fd} is not watched`);
  }
}

function badExclusive(): KernelError {
  return new KernelError(
    'EINVAL',
    'epoll_ctl',
    'EPOLLEXCLUSIVE goes with files that are added, and with few other bits',
  );
}
