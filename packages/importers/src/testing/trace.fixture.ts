import type { Machine } from '@dmabuf-emu/shm';

/** Names of the buffer events of the calling machine since the last call, steps of a revoke with their number. */
export function eventsSince(machine: Machine): () => string[] {
  let seen = machine.trace.read().length;
  return () => {
    const events = machine.trace.read();
    const fresh = events.slice(seen).filter(({ name }) => name.startsWith('dma_buf_'));
    seen = events.length;
    return fresh.map(({ name, args }) =>
      name === 'dma_buf_revoke' ? `revoke ${args[1]}` : name.slice('dma_buf_'.length),
    );
  };
}
