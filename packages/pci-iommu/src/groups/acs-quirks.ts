import { AcsBit, PcieType } from '../topology/index.ts';
import { deviceIds } from './device-ids.ts';

/**
 * How a row of the table answers whether a function isolates.
 *
 * `port-isolation`: as if SV, RR, CR and UF were on; `multifunction-isolation`: as if TB and DT were on too; the others are
 * named after the chips.
 */
export type AcsRule =
  | 'port-isolation'
  | 'multifunction-isolation'
  | 'integrated-endpoint'
  | 'amd-southbridge'
  | 'intel-pch'
  | 'intel-spt'
  | 'cavium'
  | 'annapurna'
  | 'zhaoxin'
  | 'wangxun';

/** One row: which functions of a vendor a rule is asked for. `null` stands for all. */
export interface AcsQuirkRow {
  readonly vendor: number;
  readonly devices: ReadonlySet<number> | null;
  readonly rule: AcsRule;
}

/** What is switched on for isolation where a function can, and what `port-isolation` stands for. */
export const PORT_ISOLATION =
  AcsBit.SourceValidation | AcsBit.RequestRedirect | AcsBit.CompletionRedirect | AcsBit.UpstreamForwarding;

/** What `multifunction-isolation` stands for. */
const MULTIFUNCTION_ISOLATION = PORT_ISOLATION | AcsBit.TranslationBlocking | AcsBit.DirectTranslated;

function row(vendor: number, devices: string | null, rule: AcsRule): AcsQuirkRow {
  return { vendor, devices: devices === null ? null : deviceIds(devices), rule };
}

/**
 * Functions that isolate although no register says so, in the kernel's order: the first row that has an answer decides.
 *
 * @kernel pci_dev_acs_enabled
 */
export const ACS_QUIRKS: readonly AcsQuirkRow[] = [
  row(0x1002, '4385 439c 4383 439d 4384 4399', 'amd-southbridge'),
  row(0x1022, '780f 7809', 'amd-southbridge'),
  row(0x1924, '0903 0923 0a03', 'multifunction-isolation'),
  // 82598, 82599
  row(
    0x8086,
    '10c6 10db 10dd 10e1 10f1 10f7-10fc 1507 1514 151c 1529 152a 154d 154f 1551 1558',
    'multifunction-isolation',
  ),
  // 82580, 82576, 82575
  row(0x8086, '1509 150e-1511 1516 1527', 'multifunction-isolation'),
  row(0x8086, '10c9 10e6 10e7 10e8 150a 150d 1518 1526', 'multifunction-isolation'),
  row(0x8086, '10a7 10a9 10d6', 'multifunction-isolation'),
  // I350, 82571, I219
  row(0x8086, '1521-1524', 'multifunction-isolation'),
  row(0x8086, '105e 105f 1060 10d9', 'multifunction-isolation'),
  row(0x8086, '15b7 15b8', 'multifunction-isolation'),
  row(0x8086, null, 'integrated-endpoint'),
  // Qualcomm, HXT
  row(0x17cb, '0400 0401 0115 0111 0120', 'port-isolation'),
  row(0x1dbf, '0401', 'port-isolation'),
  row(0x8086, null, 'intel-pch'),
  row(0x8086, null, 'intel-spt'),
  // Emulex
  row(0x19a2, '0710', 'multifunction-isolation'),
  row(0x10df, '0720', 'multifunction-isolation'),
  row(0x177d, null, 'cavium'),
  row(0x177d, 'a026 a059 a060', 'multifunction-isolation'),
  // X-Gene
  row(0x10e8, 'e004', 'port-isolation'),
  row(0x1def, 'e005-e00c', 'port-isolation'),
  // Broadcom NICs, iProc PAXB
  row(0x14e4, '16d7 1750 1751 1752 1760-1763', 'multifunction-isolation'),
  row(0x14e4, 'd714', 'port-isolation'),
  // Loongson
  row(0x0014, '3c09 3c19 3c29 7a09 7a19 7a29 7a39 7a49 7a59 7a69', 'port-isolation'),
  row(0x1c36, '0031', 'annapurna'),
  row(0x1d17, '3038 3104 9083', 'multifunction-isolation'),
  // NXP LX2
  row(0x1957, '8d80-8d83 8d88-8d8b 8d90-8d93 8d98-8d9b 8da0 8da1 8da8 8da9 8db0 8db1 8db8 8db9', 'port-isolation'),
  row(0x1d17, null, 'zhaoxin'),
  row(0x8088, null, 'wangxun'),
];

const ZHAOXIN_PORTS = deviceIds('0710-071e 0721 0723-0752');
const WANGXUN_NICS = deviceIds('0100-010f 1001 2001 5010 5025 5040 5110 5125 5140');
const CAVIUM_PORTS = deviceIds('a000-a7ff af84 b884');

/** What a chip is taken to isolate: bits, or `null` when the rule has no answer for it. */
export function chipIsolation(rule: AcsRule, device: number, type: PcieType | null): number | null {
  const isRootPort = type === PcieType.RootPort;
  switch (rule) {
    case 'port-isolation':
      return PORT_ISOLATION;
    case 'multifunction-isolation':
      return MULTIFUNCTION_ISOLATION;
    case 'integrated-endpoint':
      return type === PcieType.RootComplexEndpoint ? PORT_ISOLATION : null;
    case 'cavium':
      return isRootPort && CAVIUM_PORTS.has(device) ? PORT_ISOLATION : null;
    case 'annapurna':
      return isRootPort ? PORT_ISOLATION : null;
    case 'zhaoxin':
      if (!isRootPort && type !== PcieType.DownstreamPort) return null;
      return ZHAOXIN_PORTS.has(device) ? PORT_ISOLATION : 0;
    case 'wangxun':
      return WANGXUN_NICS.has(device) ? PORT_ISOLATION : 0;
    case 'amd-southbridge':
    case 'intel-pch':
    case 'intel-spt':
      return null;
  }
}
