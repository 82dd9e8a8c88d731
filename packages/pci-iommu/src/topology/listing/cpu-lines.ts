import type { CpuDescription } from '../description/machine-description.ts';
import type { LogicalLine } from '../lspci/logical-lines.ts';
import { cpuVendorOf } from '../sysfs/cpu-info.ts';

const FIELD_PATTERN = /^(vendor[_ ]id|cpu family)\s*: *(\S.*)$/iu;
const BOOT_PATTERN = /\bsmpboot: CPU0: (AMD|Intel|Hygon)\b.*\(family: 0x([0-9a-f]+)/u;

/** Whose processors have the IOMMU that a message is about. */
const IOMMUS: readonly (readonly [pattern: RegExp, vendor: string])[] = [
  [/\bAMD-Vi: /u, 'AMD'],
  [/\bDMAR: /u, 'Intel'],
];

/** The processor as `lscpu`, /proc/cpuinfo or the boot log name it; `null` when none of them is in the text. */
export function cpuOfLines(lines: readonly LogicalLine[]): CpuDescription | null {
  let vendor: string | null = null;
  let family: number | null = null;
  for (const { text, kind } of lines) {
    if (kind === 'log') {
      const boot = BOOT_PATTERN.exec(text);
      vendor ??= IOMMUS.find(([pattern]) => pattern.test(text))?.[1] ?? null;
      if (boot !== null) return { vendor: boot[1] ?? '', family: Number.parseInt(boot[2] ?? '', 16) };
    }
    const field = kind === 'other' || kind === 'attribute' ? FIELD_PATTERN.exec(text) : null;
    if (field === null) continue;
    if (field[1]?.toLowerCase() === 'cpu family') family ??= Number(field[2]);
    else vendor ??= cpuVendorOf((field[2] ?? '').trim());
  }
  if (vendor === null) return null;
  return { vendor, family: family !== null && Number.isInteger(family) && family <= MAX_FAMILY ? family : null };
}

const MAX_FAMILY = 0xfff;
