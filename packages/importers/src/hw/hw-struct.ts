import { i32, ref, rwsem, struct } from '@dmabuf-emu/shm';

/**
 * The hardware side of one session: which translations its DMA engine may use. The callback that takes them away runs in
 * another thread, which finds everything it needs here.
 */
export const HwStruct = struct('importer_hw', {
  /** Task that the engine runs in. */
  task: i32(),
  /** Machine-wide number of the session; owner of the patterns it writes. */
  uid: i32(),
  /** Interned name of the importer. */
  name: i32(),
  dmabuf: ref(),
  /** Held for reading during a burst of DMA, for writing while translations are taken away. Inside resv. */
  gate: rwsem('importer.hw'),
  /** Number of the translations in use; 0 when there are none. */
  valid: i32(),
  /** Translations programmed so far. */
  programmed: i32(),
  zaps: i32(),
  /** Task that died while it held the gate, or -1 when it is not known. */
  lostTo: i32(),
});
