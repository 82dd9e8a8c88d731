import type { AcsSetup } from '../groups/index.ts';
import type { WhitelistRow } from './host-bridge-whitelist.ts';

/** The kernel's verdict; `UNKNOWN` when what the description does not tell decides. */
export type P2pVerdict = 'BUS_ADDR' | 'THRU_HOST_BRIDGE' | 'NOT_SUPPORTED' | 'UNKNOWN';

/** How a kernel decides: its ACS setup, and its list of host bridges. */
export interface P2pSetup extends AcsSetup {
  /** Host bridges known to forward; by default the kernel's list. Older kernels: `whitelistWithout`. */
  readonly whitelist?: readonly WhitelistRow[];
}
