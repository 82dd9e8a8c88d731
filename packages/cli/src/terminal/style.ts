import type { Style } from '@dmabuf-emu/stress';
import picocolors from 'picocolors';

/** Colours for a stream: none unless it is a terminal, and none with NO_COLOR. */
export function styleFor(stream: { readonly isTTY?: boolean }): Style {
  const { bold, dim, green, red, yellow } = picocolors.createColors(
    stream.isTTY === true && picocolors.isColorSupported,
  );
  return { bold, dim, good: green, bad: red, warn: yellow };
}
