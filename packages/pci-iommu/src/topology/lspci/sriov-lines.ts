import type { SriovDescription } from '../description/machine-description.ts';

const COUNT_PATTERN = /Total VFs: (\d+), Number of VFs: (\d+)/u;
const OFFSET_PATTERN = /VF offset: (\d+), stride: (\d+), Device ID: ([0-9a-f]{4})/iu;

/** Adds what one line of an SR-IOV capability tells to what is known of it. */
export function addSriovLine(known: SriovDescription | null, text: string): SriovDescription | null {
  const base = known ?? { totalVfs: 0, numVfs: 0, vfOffset: 0, vfStride: 0, vfDevice: null };
  const counts = COUNT_PATTERN.exec(text);
  if (counts !== null) return { ...base, totalVfs: Number(counts[1]), numVfs: Number(counts[2]) };
  const offsets = OFFSET_PATTERN.exec(text);
  if (offsets !== null) {
    return {
      ...base,
      vfOffset: Number(offsets[1]),
      vfStride: Number(offsets[2]),
      vfDevice: Number.parseInt(offsets[3] ?? '', 16),
    };
  }
  return known;
}
