import { i32, KernelError, type Machine, orUndo, struct, withSpin, words } from '@dmabuf-emu/shm';
import { File } from '../file.ts';
import { builtinFileOps, type FileOps } from '../file-ops.ts';
import { OpenFlags } from '../open-flags.ts';
import { registerFileOps } from '../register-file-ops.ts';
import { PollEvents } from './poll-events.ts';
import { type PollHead, pollHead, pollHeadOf } from './poll-head.ts';

/** @kernel eventfd_ctx */
const EventFdStruct = struct('eventfd', {
  head: pollHead(),
  /** The counter, low word first. Under the head's lock. */
  count: words(2),
  semaphore: i32(),
  /** Number of the eventfd, from 1; 0 before it has one. */
  id: i32(),
});
const S = EventFdStruct;

const EVENT_FD_FILE = '[eventfd]';
/** @kernel ULLONG_MAX */
const MAX = 2n ** 64n - 1n;

/**
 * A counter that is a file: writing adds to it, reading takes it down to 0, or by 1 when it is a semaphore. A handle over the
 * file; the reference to that is the caller's affair. @kernel eventfd
 */
export class EventFd {
  readonly machine: Machine;
  readonly file: File;

  private constructor(file: File) {
    this.machine = file.machine;
    this.file = file;
  }

  /**
   * An eventfd with one reference, which the caller owns.
   * @param options.flags O_NONBLOCK or nothing.
   * @throws KernelError ENOMEM, ENFILE
   * @kernel do_eventfd
   */
  static create(
    machine: Machine,
    { initial = 0, semaphore = false, flags = 0 }: { initial?: number; semaphore?: boolean; flags?: number } = {},
  ): EventFd {
    registerFileOps(machine, EVENT_FD_OPS);
    const slab = machine.slab(S);
    const ref = slab.alloc('eventfd_ctx');
    const p = slab.at(ref);
    S.count.set(machine.mem, p, 0, initial | 0);
    S.semaphore.set(machine.mem, p, semaphore ? 1 : 0);
    takeId(machine, p);
    const mode = OpenFlags.RDWR | (flags & OpenFlags.NONBLOCK);
    const file = orUndo(
      () => File.create(machine, { type: EVENT_FD_FILE, priv: ref, flags: mode }, 'eventfd.file'),
      () => slab.free(ref, 'eventfd_ctx'),
    );
    return new EventFd(file);
  }

  /** @kernel eventfd_ctx_fileget @throws KernelError EINVAL when `file` is of another kind */
  static of(file: File): EventFd {
    registerFileOps(file.machine, EVENT_FD_OPS);
    if (file.type === EVENT_FD_FILE) return new EventFd(file);
    throw new KernelError('EINVAL', 'eventfd', `a ${file.type} file is no eventfd`);
  }

  /**
   * Takes the count, once it is not 0. @kernel eventfd_read
   * @throws KernelError EAGAIN instead of waiting when the file is O_NONBLOCK; ERESTARTSYS when a signal is pending.
   */
  read(): bigint {
    const { machine } = this;
    let taken = 0n;
    const take = (): boolean =>
      this.#head.withLock(() => {
        const count = readCount(machine, this.#p);
        if (count === 0n) return false;
        taken = S.semaphore.get(machine.mem, this.#p) !== 0 ? 1n : count;
        writeCount(machine, this.#p, count - taken);
        this.#head.wakeLocked(PollEvents.OUT);
        return true;
      });
    this.#waitFor(take, 'eventfd_read');
    return taken;
  }

  /**
   * Adds `count`, once that does not take the counter beyond 2^64 - 2. @kernel eventfd_write
   * @throws KernelError EINVAL for 2^64 - 1; EAGAIN instead of waiting when the file is O_NONBLOCK; ERESTARTSYS.
   */
  write(count: bigint): void {
    const { machine } = this;
    if (count < 0n || count >= MAX) {
      throw new KernelError('EINVAL', 'eventfd_write', `the count must be 0 to ${MAX - 1n}, got ${count}`);
    }
    const add = (): boolean =>
      this.#head.withLock(() => {
        const before = readCount(machine, this.#p);
        if (MAX - before <= count) return false;
        writeCount(machine, this.#p, before + count);
        this.#head.wakeLocked(PollEvents.IN);
        return true;
      });
    this.#waitFor(add, 'eventfd_write');
  }

  /** Adds 1 unless the counter is full: what drivers do. Never waits. @kernel eventfd_signal_mask */
  signal(mask = 0): void {
    const { machine } = this;
    this.#head.withLock(() => {
      const count = readCount(machine, this.#p);
      if (count < MAX) writeCount(machine, this.#p, count + 1n);
      this.#head.wakeLocked(PollEvents.IN | mask);
    });
  }

  /** Runs `attempt` until it succeeds. */
  #waitFor(attempt: () => boolean, call: string): void {
    if (attempt()) return;
    if ((this.file.flags & OpenFlags.NONBLOCK) !== 0) throw new KernelError('EAGAIN', call, 'it would have to wait');
    this.#head.waitUntil(attempt, { interruptible: true, label: call });
  }

  get #head(): PollHead {
    return pollHeadOf(this.machine, this.#p, S.head, 'eventfd');
  }

  get #p(): number {
    return this.machine.slab(S).at(this.file.priv);
  }
}

/** @kernel eventfd_fops */
const EVENT_FD_OPS: FileOps = builtinFileOps({
  name: EVENT_FD_FILE,
  poll: (file, table) => {
    const { machine } = file;
    const p = machine.slab(S).at(file.priv);
    const head = pollHeadOf(machine, p, S.head, 'eventfd');
    table?.wait(file, head);
    const count = head.withLock(() => readCount(machine, p));
    const readable = count > 0n ? PollEvents.IN : 0;
    const writable = MAX - 1n > count ? PollEvents.OUT : 0;
    return readable | writable | (count === MAX ? PollEvents.ERR : 0);
  },
  release: (file) => {
    const { machine } = file;
    pollHeadOf(machine, machine.slab(S).at(file.priv), S.head, 'eventfd').wake(PollEvents.HUP);
    machine.slab(S).free(file.priv, 'eventfd_release');
  },
  fdinfo: ({ machine, priv }) => {
    const p = machine.slab(S).at(priv);
    const count = readCount(machine, p).toString(16).padStart(16);
    const id = S.id.load(machine.mem, p) - 1;
    return [`eventfd-count: ${count}`, `eventfd-id: ${id}`, `eventfd-semaphore: ${S.semaphore.get(machine.mem, p)}`];
  },
});

/** Gives the eventfd at word `p` the lowest number that no other one has. @kernel eventfd_ida */
function takeId(machine: Machine, p: number): void {
  const { mem } = machine;
  const slab = machine.slab(S);
  S.id.store(mem, p, 0);
  withSpin(machine, machine.root('core.eventfd', 16), () => {
    const taken = new Set<number>();
    for (const ref of slab.live()) {
      const other = slab.tryAt(ref);
      if (other !== 0) taken.add(S.id.load(mem, other));
    }
    let id = 1;
    while (taken.has(id)) id++;
    S.id.store(mem, p, id);
  });
}

function readCount({ mem }: Machine, p: number): bigint {
  return (BigInt(S.count.get(mem, p, 1) >>> 0) << 32n) | BigInt(S.count.get(mem, p, 0) >>> 0);
}

function writeCount({ mem }: Machine, p: number, count: bigint): void {
  S.count.set(mem, p, 0, Number(BigInt.asIntN(32, count)));
  S.count.set(mem, p, 1, Number(BigInt.asIntN(32, count >> 32n)));
}
