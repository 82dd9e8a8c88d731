import { expect } from 'vitest';
import type { Topology } from '../index.ts';

/** Bridges have one window of a kind, and every memory BAR is inside a window of every bridge above it that has any. */
export function expectReachable(topology: Topology): void {
  for (const { bdf, windows } of topology.functions) {
    const kinds = windows.map((window) => window.kind);
    expect(new Set(kinds).size, `windows of ${bdf}`).toBe(kinds.length);
  }
  for (const { fn, bar } of topology.memoryBars) {
    for (const bridge of topology.pathToRoot(fn).slice(1)) {
      if (bridge.windows.length === 0) continue;
      const inside = bridge.windows.some(
        (window) => window.kind !== 'io' && bar.start >= window.start && bar.start + bar.size - 1 <= window.end,
      );
      expect(inside, `${fn.bdf} BAR ${bar.index} behind ${bridge.bdf}`).toBe(true);
    }
  }
}
