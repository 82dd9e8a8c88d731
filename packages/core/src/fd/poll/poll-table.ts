import type { File } from '../file.ts';
import { DEFAULT_POLL_MASK } from './poll-events.ts';
import type { PollHead } from './poll-head.ts';

/** What a file's `poll` is told about who asks. @kernel poll_table */
export class PollTable {
  /** Events that matter to the asker, ERR and HUP included. @kernel poll_requested_events */
  readonly requested: number;
  readonly #register: ((file: File, head: PollHead) => void) | undefined;

  /** @param register undefined when the asker only looks. */
  constructor(requested: number, register?: (file: File, head: PollHead) => void) {
    this.requested = requested;
    this.#register = register;
  }

  /** The asker wants to know when `head` is woken. Comes before the look at the state. @kernel poll_wait */
  wait(file: File, head: PollHead): void {
    this.#register?.(file, head);
  }
}

/** Events that `file` is ready for. @kernel vfs_poll */
export function pollFile(file: File, table?: PollTable): number {
  const { ops } = file;
  return ops.poll === undefined ? DEFAULT_POLL_MASK : ops.poll(file, table);
}
