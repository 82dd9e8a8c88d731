import { atomicLoad, type Machine, type WaitOptions, withSpin, words, type WordsField } from '@dmabuf-emu/shm';
import { HEAD_FIRST, HEAD_LOCK, HEAD_WORDS } from './internal/structs.ts';
import { sleepersOf, wakeHead, wakeHeadLocked } from './internal/wake.ts';

/** Field of a struct for a {@link PollHead}. */
export const pollHead = (): WordsField => words(HEAD_WORDS);

/**
 * Where those wait whom a file's change of state concerns: tasks in poll, epoll files, and plain waiters. A handle over a
 * {@link pollHead} field. Whoever waits looks at the state after it registered, whoever changes it wakes afterwards.
 * @kernel wait_queue_head_t
 */
export class PollHead {
  readonly machine: Machine;
  readonly at: number;
  readonly name: string;

  /** @param at word of the field. */
  constructor(machine: Machine, at: number, name: string) {
    this.machine = machine;
    this.at = at;
    this.name = name;
  }

  /** Wakes those who wait for one of the events `key`, everybody for 0. @kernel wake_up_poll, wake_up_all */
  wake(key = 0): void {
    wakeHead(this.machine, this.at, key);
  }

  /** Runs a few loads and stores with the head's spin lock held. @kernel spin_lock_irqsave */
  withLock<T>(fn: () => T): T {
    return withSpin(this.machine, this.at + HEAD_LOCK, fn);
  }

  /** {@link wake} inside {@link withLock}. @kernel wake_up_locked_poll */
  wakeLocked(key = 0): void {
    wakeHeadLocked(this.machine, this.at, key);
  }

  /** Whether anybody polls it. @kernel waitqueue_active */
  get isActive(): boolean {
    return atomicLoad(this.machine.mem, this.at + HEAD_FIRST) !== 0;
  }

  /**
   * Waits without registering until `condition()` is true; false when the timeout passed first. @kernel wait_event_timeout
   * @throws KernelError ERESTARTSYS when `interruptible` and a signal is pending.
   */
  waitUntil(condition: () => boolean, options: WaitOptions = {}): boolean {
    return sleepersOf(this.machine, this.at, this.name).waitUntil(condition, options);
  }
}

/** The {@link PollHead} of the slot at word `p`. */
export function pollHeadOf(machine: Machine, p: number, field: WordsField, name: string): PollHead {
  return new PollHead(machine, p + field.at, name);
}
