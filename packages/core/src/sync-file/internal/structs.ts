import { i32, ref, struct, words } from '@dmabuf-emu/shm';
import { pollHead } from '../../fd/poll/poll-head.ts';
import { pollCallback } from '../../fence/poll-callback.ts';

/** Longest name in bytes, without the NUL that ends it. */
export const MAX_NAME_BYTES = 31;

/** @kernel sync_file */
export const SyncFileStruct = struct('sync_file', {
  /** Holds a reference; constant. */
  fence: ref(),
  head: pollHead(),
  /** Wakes the head when the fence ends; on it once somebody polled. */
  poll: pollCallback(),
  /** Somebody polled. @kernel POLL_ENABLED */
  pollEnabled: i32(),
  /** Length and bytes of the name that a user gave it; 0 for none. Constant. */
  nameSize: i32(),
  name: words(8),
});
