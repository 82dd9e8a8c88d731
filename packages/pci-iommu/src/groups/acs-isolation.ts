import { ACS_FLAG_NAMES, AcsBit, PcieType, type Topology, type TopologyFunction } from '../topology/index.ts';
import { ACS_QUIRKS, type AcsQuirkRow, chipIsolation, PORT_ISOLATION } from './acs-quirks.ts';
import type { AcsSetup } from './acs-setup.ts';
import { acsStateOf, type KernelAcs } from './acs-state.ts';
import { hasIntelWideRegisters, isIntelPchPort } from './intel-ports.ts';

/** What a function must have switched on to be isolated from its neighbours. @kernel REQ_ACS_FLAGS */
const REQUIRED = PORT_ISOLATION;
const AMD_SOUTHBRIDGE_REQUIRED = AcsBit.RequestRedirect | AcsBit.CompletionRedirect;

/** Whether a function keeps its traffic from its neighbours; `'unknown'` when the description does not tell. */
export type Isolation = boolean | 'unknown';

/** Whether a function shares its device number with others, as the kernel notes it. Never so for a VF. */
export function isMultifunction(fn: TopologyFunction): boolean {
  return !fn.isVirtualFunction && (fn.func > 0 || fn.multifunction);
}

/** Tells which functions of a machine isolate. */
export class IsolationTest {
  readonly #topology: Topology;
  readonly #setup: AcsSetup;
  readonly #acs: KernelAcs;
  readonly #answers = new Map<TopologyFunction, Isolation>();

  constructor(topology: Topology, setup: AcsSetup) {
    this.#topology = topology;
    this.#setup = setup;
    this.#acs = acsStateOf(topology, setup);
  }

  /**
   * Whether a function isolates: by the table of chips first, then by its type and registers.
   *
   * @kernel pci_acs_enabled
   */
  isolates(fn: TopologyFunction): Isolation {
    let answer = this.#answers.get(fn);
    if (answer === undefined) {
      answer = this.#setup.quirks === false ? this.#byType(fn) : this.#byChip(fn);
      this.#answers.set(fn, answer);
    }
    return answer;
  }

  /** Why a function does not isolate, as part of a sentence after its name. */
  whyNot(fn: TopologyFunction): string {
    if (this.isolates(fn) === 'unknown') return 'may not isolate: its ACS is not known';
    if (fn.pcieType === null) return 'does not isolate: it is no PCIe function';
    if (isIntelPchPort(fn) === true) return 'does not isolate: the registers of its chipset that could are not enabled';
    const word = this.#acs.standardControl(fn);
    if (word === null)
      return `does not isolate: it has no ACS${isMultifunction(fn) ? ' and others share its device' : ''}`;
    const missing = REQUIRED & (this.#acs.capability(fn) ?? REQUIRED) & ~word.value;
    const names = ACS_FLAG_NAMES.filter((_name, bit) => (missing & (1 << bit)) !== 0);
    return names.length === 0 ? 'does not isolate: its kind never does' : `does not isolate: ${names.join(', ')} off`;
  }

  /** The answer of the first row that is the function's; without one, that of its type. @kernel pci_dev_specific_acs_enabled */
  #byChip(fn: TopologyFunction): Isolation {
    // What rows say that may be the function's: its ids are not known.
    const possible = new Set<Isolation>();
    for (const row of ACS_QUIRKS) {
      const match = matchesRow(row, fn);
      if (match === false) continue;
      const { answer, sure } = this.#ask(row, fn);
      if (answer !== null) possible.add(answer);
      if (answer !== null && match === true && sure) return agreed(possible);
    }
    return agreed(possible.add(this.#byType(fn)));
  }

  /** A row's answer for a function, `null` when it has none, and whether it is sure to be the one asked. */
  #ask(row: AcsQuirkRow, fn: TopologyFunction): { answer: Isolation | null; sure: boolean } {
    switch (row.rule) {
      case 'amd-southbridge':
        return { answer: this.#amdSouthbridge(fn), sure: true };
      case 'intel-pch': {
        const isPort = isIntelPchPort(fn);
        const answer = this.#setup.iommu && this.#setup.intelPchRegisters !== false;
        return { answer: isPort === false ? null : answer, sure: isPort === true };
      }
      case 'intel-spt':
        return { answer: this.#intelSpt(fn), sure: hasIntelWideRegisters(fn) === true };
      default: {
        if (
          fn.pcieType === 'unknown' ||
          (fn.device === null && row.devices === null && row.rule !== 'integrated-endpoint')
        ) {
          return { answer: 'unknown', sure: false };
        }
        const provided = chipIsolation(row.rule, fn.device ?? -1, fn.pcieType);
        return { answer: provided === null ? null : (REQUIRED & ~provided) === 0, sure: true };
      }
    }
  }

  /** Only redirects count between the functions of the chip. @kernel pci_quirk_amd_sb_acs */
  #amdSouthbridge(fn: TopologyFunction): boolean | null {
    const hasIvrs = this.#setup.iommu && this.#topology.description.cpu.vendor !== 'Intel';
    if (!hasIvrs || !isMultifunction(fn) || this.#topology.upstreamBridge(fn) !== null) return null;
    return (REQUIRED & (AMD_SOUTHBRIDGE_REQUIRED | AcsBit.EgressControl)) === AMD_SOUTHBRIDGE_REQUIRED;
  }

  /** The control word is beyond the standard one: what the kernel writes there is all that is known. */
  #intelSpt(fn: TopologyFunction): Isolation | null {
    if (hasIntelWideRegisters(fn) === false || fn.acs === null) return null;
    if (fn.acs === 'unknown') return this.#byListing(fn);
    if (!this.#setup.iommu) return 'unknown';
    const control = this.#acs.isNamed(fn) ? ~AMD_SOUTHBRIDGE_REQUIRED : -1;
    return (REQUIRED & fn.acs.cap & ~control) === 0;
  }

  #byType(fn: TopologyFunction): Isolation {
    switch (fn.pcieType) {
      case null:
      case PcieType.PcieToPciBridge:
      case PcieType.PciToPcieBridge:
      case PcieType.RootComplexEventCollector:
        return false;
      case PcieType.RootPort:
      case PcieType.DownstreamPort:
        return this.#byRegisters(fn);
      case 'unknown':
        return 'unknown';
      case PcieType.Endpoint:
      case PcieType.LegacyEndpoint:
      case PcieType.UpstreamPort:
      case PcieType.RootComplexEndpoint:
        return isMultifunction(fn) ? this.#byRegisters(fn) : true;
    }
  }

  /** What the capability lacks counts as hard-wired on. @kernel pci_acs_flags_enabled */
  #byRegisters(fn: TopologyFunction): Isolation {
    const word = this.#acs.standardControl(fn);
    if (word === null) return false;
    const cap = this.#acs.capability(fn);
    if (cap === null) return this.#byListing(fn);
    const required = REQUIRED & cap;
    if ((required & word.known & ~word.value) !== 0) return false;
    return (required & ~word.known) === 0 ? true : 'unknown';
  }

  /** Whatever a capability can do is switched on, unless somebody asked for something else. */
  #byListing(fn: TopologyFunction): Isolation {
    return this.#setup.iommu && fn.description.acsListed === true && !this.#acs.isNamed(fn) ? true : 'unknown';
  }
}

/** The one answer that all give, if they do. */
function agreed(answers: ReadonlySet<Isolation>): Isolation {
  const [first = 'unknown'] = answers;
  return answers.size === 1 ? first : 'unknown';
}

function matchesRow(row: AcsQuirkRow, fn: TopologyFunction): Isolation {
  if (fn.vendor === null) return 'unknown';
  if (fn.vendor !== row.vendor) return false;
  if (row.devices === null) return true;
  return fn.device === null ? 'unknown' : row.devices.has(fn.device);
}
