import { KERNELS, type KernelProfile } from '@dmabuf-emu/shm';

/** The profile that emulates a kernel of this release (such as 7.3.4); undefined when there is none. */
export function profileOf(release: string): KernelProfile | undefined {
  const exact = KERNELS.find((kernel) => kernel === release);
  const series = /^\d+\.\d+/.exec(release)?.[0];
  return exact ?? KERNELS.find((kernel) => kernel === series);
}
