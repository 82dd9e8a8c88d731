import { AcsBit, ACS_REDIRECT_MASK, type Bdf, formatBdf, parseBdf, type TopologyFunction } from '../topology/index.ts';

/** What the kernel was told when it set up ACS. */
export interface AcsPolicy {
  /** An IOMMU is in use. */
  readonly iommu: boolean;
  /** Functions named by `pci=disable_acs_redir=`. */
  readonly disableAcsRedir?: readonly Bdf[];
  /** ATS is disabled (`pci=noats`): translated requests are blocked too. */
  readonly atsDisabled?: boolean;
  /** Ports that lead out of the box, or functions not to be trusted: translated requests are blocked too. */
  readonly untrusted?: readonly Bdf[];
}

/** What is switched on for isolation, where the function can. */
const STANDARD_CONTROL =
  AcsBit.SourceValidation | AcsBit.RequestRedirect | AcsBit.CompletionRedirect | AcsBit.UpstreamForwarding;

/**
 * The ACS control word that the kernel leaves in a function: with an IOMMU, isolation is switched on in everything that
 * has the capability, endpoints too; egress control never is.
 *
 * @returns the control word, or `null` when the function has no ACS capability or it is not known
 * @kernel pci_enable_acs, pci_std_enable_acs, disable_acs_redir_param
 */
export function defaultAcsControl(fn: TopologyFunction, policy: AcsPolicy): number | null {
  const { acs } = fn;
  if (acs === null || acs === 'unknown') return null;
  let control = acs.ctrl;
  if (policy.iommu && !hasIntelWideRegisters(fn)) {
    control |= acs.cap & STANDARD_CONTROL;
    if (policy.atsDisabled === true || names(policy.untrusted, fn)) control |= acs.cap & AcsBit.TranslationBlocking;
  }
  if (names(policy.disableAcsRedir, fn)) control &= ~ACS_REDIRECT_MASK;
  return control;
}

function names(list: readonly Bdf[] | undefined, fn: TopologyFunction): boolean {
  return list !== undefined && list.some((bdf) => formatBdf(parseBdf(bdf)) === fn.bdf);
}

const INTEL = 0x8086;
const WIDE_ACS_PORTS: readonly (readonly [first: number, last: number])[] = [
  [0xa110, 0xa11f],
  [0xa167, 0xa16a],
  [0xa290, 0xa29f],
  [0xa2e7, 0xa2ee],
  [0x9d10, 0x9d1b],
];

/**
 * Whether this is an Intel PCH root port whose ACS words are 32 bits wide: the control word stands two bytes further,
 * so what sits at the standard place is not changed when isolation is switched on.
 *
 * @kernel pci_quirk_intel_spt_pch_acs_match
 */
export function hasIntelWideRegisters(fn: TopologyFunction): boolean {
  const { vendor, device } = fn;
  if (vendor !== INTEL || device === null || fn.kind !== 'root-port') return false;
  return WIDE_ACS_PORTS.some(([first, last]) => device >= first && device <= last);
}
