import { CORE_QUIRKS } from '@dmabuf-emu/core';
import { DRM_QUIRKS, HEAP_QUIRKS } from '@dmabuf-emu/exporter-heap';
import type { KernelProfile, Quirk } from '@dmabuf-emu/shm';
import { UAPI_QUIRKS } from './quirks.ts';

/** Every behaviour in which the kernels that can be emulated differ for a program, by name. */
export const ALL_QUIRKS: Readonly<Record<string, Quirk>> = {
  ...CORE_QUIRKS.quirks,
  ...HEAP_QUIRKS.quirks,
  ...DRM_QUIRKS.quirks,
  ...UAPI_QUIRKS.quirks,
};

/** Names of the quirks that one of two kernels has and the other has not: those of `a` only, those of `b` only. */
export function quirksBetween(a: KernelProfile, b: KernelProfile): { onlyA: string[]; onlyB: string[] } {
  const only = (has: KernelProfile, lacks: KernelProfile): string[] =>
    Object.entries(ALL_QUIRKS)
      .filter(([, { kernels }]) => kernels.includes(has) && !kernels.includes(lacks))
      .map(([name]) => name);
  return { onlyA: only(a, b), onlyB: only(b, a) };
}
