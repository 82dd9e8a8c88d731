import { formatBdf, tryParseBdf } from '../bdf.ts';
import type { LineKind, LogicalLine } from '../lspci/logical-lines.ts';
import { type RawFunction, unknownFunction } from '../lspci/raw-function.ts';

const MENTION_PATTERN =
  /(host bridge )?\b((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\b(?:\*? ?\(\*?([0-9a-f]{4}):([0-9a-f]{4})\*?\))?/giu;
const FULL_NAME_LENGTH = 12;
/** A machine is refused for having more. */
const MAX_FUNCTIONS = 0x1_0000;
const HOST_BRIDGE_CLASS = 0x06_0000;

/**
 * Functions that messages and prose name: with their domain (`0000:01:00.0`), or with ids in brackets
 * (`01:00.0 (10de:2230)`).
 *
 * @param skipped - kinds of lines that are no messages
 */
export function mentionedFunctions(
  lines: readonly LogicalLine[],
  skipped: ReadonlySet<LineKind>,
): readonly RawFunction[] {
  const found = new Map<string, RawFunction>();
  for (const { text, kind, line } of lines) {
    if (skipped.has(kind) || !text.includes('.')) continue;
    for (const [, bridge, name = '', vendor, device] of text.matchAll(MENTION_PATTERN)) {
      const parts = tryParseBdf(name);
      if (parts === undefined || (name.length < FULL_NAME_LENGTH && device === undefined)) continue;
      const bdf = formatBdf(parts);
      if (found.size > MAX_FUNCTIONS && !found.has(bdf)) continue;
      const known = found.get(bdf) ?? unknownFunction(bdf, line);
      found.set(bdf, {
        ...known,
        vendor: known.vendor ?? (vendor === undefined ? null : Number.parseInt(vendor, 16)),
        device: known.device ?? (device === undefined ? null : Number.parseInt(device, 16)),
        class: known.class ?? (bridge === undefined ? null : HOST_BRIDGE_CLASS),
      });
    }
  }
  return [...found.values()];
}
