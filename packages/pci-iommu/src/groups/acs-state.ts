import {
  ACS_REDIRECT_MASK,
  AcsBit,
  type AcsState,
  type Bdf,
  formatBdf,
  parseBdf,
  type Topology,
  type TopologyFunction,
} from '../topology/index.ts';
import { PORT_ISOLATION } from './acs-quirks.ts';
import type { AcsSetup } from './acs-setup.ts';
import { type AcsWord, anySet, knownWord, oneOf, UNKNOWN_WORD, withCleared } from './acs-word.ts';
import { type ConfigAcsEntry, parseConfigAcs } from './config-acs.ts';
import { type DevicePattern, parseDevicePattern } from './device-pattern.ts';
import { hasIntelWideRegisters, isIntelPchPort } from './intel-ports.ts';

/** ACS of a whole machine, with what is not known of it. */
export interface KernelAcs extends AcsState {
  /** The control word as the kernel leaves it; `null` without the capability. */
  control(fn: TopologyFunction): AcsWord | null;
  /** The control word of a function if it has none of the registers that some Intel ports have instead. */
  standardControl(fn: TopologyFunction): AcsWord | null;
  /** The capability word as the kernel reads it; `null` without one, or when it is not known. */
  capability(fn: TopologyFunction): number | null;
  /** Whether somebody asked for this function's control word: on the command line or by writing it. */
  isNamed(fn: TopologyFunction): boolean;
  /** Like `redirects`, but tells when it is not known. */
  redirection(fn: TopologyFunction): boolean | 'unknown';
}

/**
 * ACS control as the kernel leaves it in every function: what firmware set, isolation where an IOMMU is in use, then what
 * the command line says, then what was written later.
 *
 * `redirects` takes what is not known as no; `redirection` tells it.
 *
 * @throws TopologyError for parameters that cannot be read
 * @kernel pci_enable_acs
 */
export function acsStateOf(topology: Topology, setup: AcsSetup): KernelAcs {
  const rules = new AcsRules(topology, setup);
  const words = topology.functions.map((fn) => rules.control(fn));
  const control = (fn: TopologyFunction): AcsWord | null => words[fn.index] ?? null;
  const redirection = (fn: TopologyFunction): boolean | 'unknown' => {
    const word = control(fn);
    return word === null ? false : anySet(word, ACS_REDIRECT_MASK);
  };
  return {
    control,
    standardControl: (fn) => rules.standardControl(fn),
    capability,
    isNamed: (fn) => rules.isNamed(fn),
    redirection,
    redirects: (fn) => redirection(fn) === true,
  };
}

/** Switches whose validation of sources does not work. */
function lacksSourceValidation({ vendor, device }: TopologyFunction): boolean {
  return vendor === 0x111d && (device === 0x80b5 || device === 0x8090);
}

function capability(fn: TopologyFunction): number | null {
  const { acs } = fn;
  if (acs === null || acs === 'unknown') return null;
  return lacksSourceValidation(fn) ? acs.cap & ~AcsBit.SourceValidation : acs.cap;
}

/** How the control word of a function follows from its description and the setup. */
class AcsRules {
  readonly #topology: Topology;
  readonly #setup: AcsSetup;
  readonly #noRedirect: readonly DevicePattern[];
  readonly #entries: readonly ConfigAcsEntry[];
  readonly #written: ReadonlyMap<Bdf, number>;
  readonly #untrusted: ReadonlySet<Bdf>;

  constructor(topology: Topology, setup: AcsSetup) {
    this.#topology = topology;
    this.#setup = setup;
    this.#noRedirect = (setup.disableAcsRedir ?? []).map((text) => parseDevicePattern(text));
    this.#entries = parseConfigAcs(setup.configAcs ?? '');
    this.#written = new Map(Object.entries(setup.overrides ?? {}).map(([bdf, word]) => [fullName(bdf), word]));
    this.#untrusted = new Set((setup.untrusted ?? []).map((bdf) => fullName(bdf)));
  }

  isNamed(fn: TopologyFunction): boolean {
    return this.#written.has(fn.bdf) || this.#isDirect(fn) || this.#entryOf(fn) !== undefined;
  }

  control(fn: TopologyFunction): AcsWord | null {
    const standard = this.standardControl(fn);
    const isOther = standard === null ? false : or(hasIntelWideRegisters(fn), isIntelPchPort(fn));
    if (standard === null || isOther === false || this.#written.has(fn.bdf)) return standard;
    const firmware = this.#firmware(fn);
    const other = hasIntelWideRegisters(fn) === true ? firmware : this.#commandLine(fn, firmware, firmware);
    return isOther === true ? other : oneOf(standard, oneOf(other, firmware));
  }

  standardControl(fn: TopologyFunction): AcsWord | null {
    const { acs } = fn;
    if (acs === null || (acs === 'unknown' && fn.pcieType === null)) return null;
    const late = this.#written.get(fn.bdf);
    if (late !== undefined) return knownWord(acs === 'unknown' ? late : late & acs.cap);
    const firmware = this.#firmware(fn);
    return this.#commandLine(fn, firmware, this.#isolated(fn, firmware));
  }

  #firmware({ acs, description }: TopologyFunction): AcsWord {
    if (this.#setup.firmware === 'off') return knownWord(0);
    const control = acs === null || acs === 'unknown' ? description.acsControlIfAny : acs.ctrl;
    return control === undefined ? UNKNOWN_WORD : knownWord(control);
  }

  /** @kernel pci_std_enable_acs */
  #isolated(fn: TopologyFunction, firmware: AcsWord): AcsWord {
    if (!this.#setup.iommu) return firmware;
    const cap = capability(fn);
    if (cap === null) return { value: firmware.value, known: firmware.known & ~(PORT_ISOLATION & ~firmware.value) };
    const blocks = this.#setup.atsDisabled === true || this.#untrusted.has(fn.bdf) ? AcsBit.TranslationBlocking : 0;
    return knownWord(firmware.value | (cap & (PORT_ISOLATION | blocks)));
  }

  /** `config_acs` starts from what firmware left, and is the last word. @kernel __pci_config_acs */
  #commandLine(fn: TopologyFunction, firmware: AcsWord, isolated: AcsWord): AcsWord {
    const entry = this.#entryOf(fn);
    if (entry === undefined) {
      return this.#isDirect(fn) ? withCleared(isolated, ACS_REDIRECT_MASK) : isolated;
    }
    const { value, known } = withCleared(firmware, entry.mask & ~entry.flags);
    const forced = entry.mask & entry.flags;
    // A bit that the capability may not have may refuse to be set.
    return fn.acs === 'unknown'
      ? { value, known: known & ~forced }
      : { value: value | (forced & (capability(fn) ?? 0)), known };
  }

  #isDirect(fn: TopologyFunction): boolean {
    return this.#noRedirect.some((matches) => matches(this.#topology, fn));
  }

  #entryOf(fn: TopologyFunction): ConfigAcsEntry | undefined {
    return this.#entries.find((entry) => entry.matches(this.#topology, fn));
  }
}

function or(a: boolean | 'unknown', b: boolean | 'unknown'): boolean | 'unknown' {
  if (a === true || b === true) return true;
  return a === 'unknown' || b === 'unknown' ? 'unknown' : false;
}

function fullName(bdf: Bdf): Bdf {
  return formatBdf(parseBdf(bdf));
}
