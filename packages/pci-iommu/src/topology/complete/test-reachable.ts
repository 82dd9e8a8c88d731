import { expect } from 'vitest';
import type { Topology } from '../index.ts';

/** Every memory BAR is inside a window of every bridge above it that has any. */
export function expectReachable(topology: Topology): void {
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
