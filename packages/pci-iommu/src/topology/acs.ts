/**
 * Access Control Services: the register bits by which a PCIe port decides whether a packet from below may turn to a
 * neighbour or must go up to the root complex.
 *
 * @kernel PCI_ACS_SV, PCI_ACS_TB, PCI_ACS_RR, PCI_ACS_CR, PCI_ACS_UF, PCI_ACS_EC, PCI_ACS_DT
 */
export const AcsBit = {
  SourceValidation: 0x01,
  TranslationBlocking: 0x02,
  RequestRedirect: 0x04,
  CompletionRedirect: 0x08,
  UpstreamForwarding: 0x10,
  EgressControl: 0x20,
  DirectTranslated: 0x40,
} as const;

/** The bits that send peer-to-peer traffic up to the root complex: RR, CR and EC. */
export const ACS_REDIRECT_MASK = AcsBit.RequestRedirect | AcsBit.CompletionRedirect | AcsBit.EgressControl;

/** Every bit defined in the capability and control words. */
export const ACS_ALL_BITS = 0x7f;

/** The two ACS registers of a function: what it can do, what is switched on. */
export interface AcsRegisters {
  readonly cap: number;
  readonly ctrl: number;
}

/**
 * What is known of a function's ACS: its registers, `null` when it has no such capability, `'unknown'` when the source
 * of the description did not show capabilities.
 */
export type AcsKnowledge = AcsRegisters | null | 'unknown';

/** The ACS words as `lspci` spells their bits, from bit 0 up. */
export const ACS_FLAG_NAMES = [
  'SrcValid',
  'TransBlk',
  'ReqRedir',
  'CmpltRedir',
  'UpstreamFwd',
  'EgressCtrl',
  'DirectTrans',
] as const;
