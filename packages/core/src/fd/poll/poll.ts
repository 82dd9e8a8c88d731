import {
  atomicLoad,
  FOREVER,
  isKernelError,
  KernelError,
  type Machine,
  TaskKilled,
  taskIsRunning,
  TaskStruct,
} from '@dmabuf-emu/shm';
import { FdTable } from '../fd-table.ts';
import type { File } from '../file.ts';
import { dropWait, pollWait } from './internal/task-entries.ts';
import { PollEvents } from './poll-events.ts';
import { pollFile, PollTable } from './poll-table.ts';

/** A file to wait for: by a reference of the caller's, or by descriptor of the calling task's process. @kernel pollfd */
export type PollRequest = PollFileRequest | PollFdRequest;

interface PollFileRequest {
  readonly file: File;
  readonly events: number;
}

interface PollFdRequest {
  /** Below 0: not looked at. */
  readonly fd: number;
  readonly events: number;
}

/** How to poll. */
export interface PollOptions {
  /** On the machine's clock; without limit when it is left out or below 0. */
  readonly timeoutMs?: number;
  /** End with EINTR when the task has a signal pending. */
  readonly interruptible?: boolean;
}

const LABEL = 'poll';
/** An event loop looks at a clock that is driven by hand this often. */
const MANUAL_SLICE_MS = 20;

/**
 * Waits until one of the files is ready.
 * @returns what each is ready for, of what was asked and ERR, HUP, NVAL; all 0 when the timeout passed first.
 * @locks none that the files' `poll` takes
 * @throws KernelError EINTR when `interruptible` and a signal is pending; ENOMEM.
 * @kernel do_poll
 */
export function poll(machine: Machine, requests: readonly PollRequest[], options: PollOptions = {}): number[] {
  const rounds = new PollRounds(machine, requests, options);
  try {
    for (;;) {
      const seen = rounds.seen;
      const found = rounds.next();
      if (found !== undefined) {
        rounds.end();
        return found;
      }
      const left = rounds.leftMs;
      machine.wait(rounds.event, seen, LABEL, Number.isFinite(left) ? left : FOREVER, options.interruptible);
    }
  } catch (error) {
    if (!(error instanceof TaskKilled)) rounds.end();
    throw error;
  }
}

/** {@link poll} for an event loop: keeps the process alive until it resolves. Ends with EINTR when the task leaves the machine. */
export async function pollAsync(
  machine: Machine,
  requests: readonly PollRequest[],
  { timeoutMs = Number.POSITIVE_INFINITY }: { readonly timeoutMs?: number } = {},
): Promise<number[]> {
  const rounds = new PollRounds(machine, requests, { timeoutMs });
  try {
    for (;;) {
      const seen = rounds.seen;
      const found = rounds.next();
      if (found !== undefined) {
        rounds.end();
        return found;
      }
      const left = machine.clock.manual ? Math.min(rounds.leftMs, MANUAL_SLICE_MS) : rounds.leftMs;
      await machine.waitAsync(rounds.event, seen, LABEL, Number.isFinite(left) ? left : FOREVER);
      if (!taskIsRunning(machine, machine.tid)) throw new KernelError('EINTR', LABEL, 'the task has left the machine');
    }
  } catch (error) {
    if (!(error instanceof TaskKilled) && taskIsRunning(machine, machine.tid)) rounds.end();
    throw error;
  }
}

/** The rounds that one poll makes over its files; the first one registers. @kernel poll_wqueues */
class PollRounds {
  /** Word that counts up when the calling task is woken. */
  readonly event: number;
  readonly #machine: Machine;
  readonly #requests: readonly PollRequest[];
  readonly #interruptible: boolean;
  readonly #endMs: number;
  readonly #entries: number[] = [];
  #registering: boolean;
  #error: unknown;

  constructor(machine: Machine, requests: readonly PollRequest[], { timeoutMs = -1, interruptible }: PollOptions) {
    this.event = machine.taskAt + TaskStruct.mailEvent.at;
    this.#machine = machine;
    this.#requests = requests;
    this.#interruptible = interruptible === true;
    this.#endMs = timeoutMs < 0 ? Number.POSITIVE_INFINITY : machine.clock.nowMs() + timeoutMs;
    this.#registering = timeoutMs !== 0;
  }

  get seen(): number {
    return atomicLoad(this.#machine.mem, this.event);
  }

  get leftMs(): number {
    return Math.max(0, this.#endMs - this.#machine.clock.nowMs());
  }

  /** Looks at every file; undefined when none is ready and there is time left. */
  next(): number[] | undefined {
    const isLast = this.leftMs === 0;
    const found = this.#requests.map((request) => this.#ask(request));
    this.#registering = false;
    if (found.some((events) => events !== 0)) return found;
    if (this.#interruptible && this.#machine.signalPending) {
      throw new KernelError('EINTR', LABEL, 'a signal is pending');
    }
    if (this.#error !== undefined) throw this.#error;
    return isLast ? found : undefined;
  }

  /** Takes back what the first round registered. @kernel poll_freewait */
  end(): void {
    for (const entry of this.#entries.splice(0)) dropWait(this.#machine, entry);
  }

  /** @kernel do_pollfd */
  #ask(request: PollRequest): number {
    if ('file' in request) return this.#askFile(request.file, request.events);
    if (request.fd < 0) return 0;
    const file = openFile(this.#machine, request.fd);
    if (file === undefined) return PollEvents.NVAL;
    const events = this.#askFile(file, request.events);
    file.put();
    return events;
  }

  #askFile(file: File, events: number): number {
    const filter = events | PollEvents.ERR | PollEvents.HUP;
    const register = (owner: File, head: Parameters<PollTable['wait']>[1]): void => {
      try {
        this.#entries.push(pollWait(this.#machine, owner, head, filter));
      } catch (error) {
        if (!isKernelError(error, 'ENOMEM')) throw error;
        this.#error = error;
      }
    };
    const ready = pollFile(file, new PollTable(filter, this.#registering ? register : undefined)) & filter;
    if (ready !== 0) this.#registering = false;
    return ready;
  }
}

function openFile(machine: Machine, fd: number): File | undefined {
  try {
    return FdTable.current(machine).get(fd);
  } catch (error) {
    if (isKernelError(error, 'EBADF')) return undefined;
    throw error;
  }
}
