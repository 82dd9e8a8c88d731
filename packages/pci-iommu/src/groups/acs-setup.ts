import type { Bdf } from '../topology/index.ts';

/**
 * What a kernel is told, and what cannot be read from a description, when it sets up ACS and IOMMU groups.
 *
 * @example
 * const setup: AcsSetup = { iommu: true, disableAcsRedir: ['0000:0b:00.0', 'pci:10b5:8749'] };
 */
export interface AcsSetup {
  /** An IOMMU is in use: isolation is switched on wherever it can be. */
  readonly iommu: boolean;
  /**
   * What firmware leaves in the control words: what the description shows, or nothing. A description that was made while an
   * IOMMU was in use shows what the kernel wrote, so that `described` is too much when `iommu` is false.
   */
  readonly firmware?: 'described' | 'off';
  /** Functions named by `pci=disable_acs_redir=`: each a name, a path or `pci:VENDOR:DEVICE`. */
  readonly disableAcsRedir?: readonly string[];
  /** The text after `pci=config_acs=`, such as `xx0xx@0000:0b:00.0;1x1@pci:10b5:8749`. */
  readonly configAcs?: string;
  /** Control words that somebody wrote after boot, as `setpci` does. */
  readonly overrides?: Readonly<Record<Bdf, number>>;
  /** ATS is disabled (`pci=noats`): translated requests are blocked too. */
  readonly atsDisabled?: boolean;
  /** Ports that lead out of the box, or functions not to be trusted: translated requests are blocked too. */
  readonly untrusted?: readonly Bdf[];
  /**
   * Intel PCH root ports without the ACS capability are isolated by chipset registers. That needs the registers of
   * function 31.0 to be enabled, which no listing shows: taken as so. `false` is also what kernel 5.9 did.
   */
  readonly intelPchRegisters?: boolean;
  /** The kernel's table of functions that isolate although their registers do not say so is used. On by default. */
  readonly quirks?: boolean;
}
