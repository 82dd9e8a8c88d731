import { readFileSync } from 'node:fs';
import {
  type AcsSetup,
  builtinMachine,
  builtinMachines,
  type CpuDescription,
  formatBdf,
  type MachineDescription,
  type MachineReading,
  parseConfigAcs,
  parseDevicePattern,
  readGroupListing,
  readLiveMachine,
  readMachine,
  readMachineFile,
  type ReadOptions,
  TopologyError,
  tryParseBdf,
} from '@dmabuf-emu/pci-iommu';
import { UsageError } from '@dmabuf-emu/shm';
import { MachineView } from '../topo/machine-view.ts';
import type { TopoFlags } from './topo-flags.ts';

/** A machine as asked for on the command line. */
export interface TopoInput {
  readonly view: MachineView;
  /** The setup in words, with where it comes from. */
  readonly setupText: string;
}

const ACS_ON = 0x1d;
const WORD_PATTERN = /^(?:0x)?[0-9a-f]{1,4}$/iu;
const CPU_PATTERN = /^([a-z][\w .-]*?)(?::(0x[0-9a-f]+|\d+))?$/iu;
const LIVE_ROOT = '/sys';

/** @throws UsageError, TopologyError naming option, or file and line, and what was expected */
export function readTopoInput(file: string | undefined, flags: TopoFlags): TopoInput {
  checkCombination(flags);
  const cpu = flags.cpu === undefined ? {} : { cpu: parseCpu(flags.cpu) };
  const reading = readSource(file, { ...cpu, ...(flags.lenient === true ? { lenient: true } : {}) });
  const { iommu, because } = chooseIommu(flags.iommu, reading);
  const takenBack = !iommu && shownIommu(reading).iommu;
  const before = takenBack ? withoutIsolation(reading.description) : reading.description;
  const setup: AcsSetup = {
    iommu,
    ...(flags.disableAcsRedir === undefined ? {} : { disableAcsRedir: parseRedirList(flags.disableAcsRedir) }),
    ...(flags.configAcs === undefined ? {} : { configAcs: parseConfig(flags.configAcs) }),
    ...(flags.acsOverride === undefined ? {} : { overrides: parseOverrides(flags.acsOverride, reading) }),
  };
  const parameters = [
    ...(flags.disableAcsRedir === undefined ? [] : [`pci=disable_acs_redir=${flags.disableAcsRedir}`]),
    ...(flags.configAcs === undefined ? [] : [`pci=config_acs=${flags.configAcs}`]),
    ...(flags.acsOverride === undefined ? [] : [`ACS of ${flags.acsOverride}`]),
  ];
  return {
    view: new MachineView(reading, setup, before),
    setupText: [`IOMMU ${iommu ? 'on' : 'off'} (${because})`, ...parameters].join(', '),
  };
}

function checkCombination({ from, to, json, writeLspci }: TopoFlags): void {
  if ((from === undefined) !== (to === undefined)) throw new UsageError('expected --from and --to, both or none');
  if (json === true && writeLspci === '-') throw new UsageError('expected --json or --write-lspci -, not both');
}

function readSource(file: string | undefined, options: ReadOptions): MachineReading {
  if (file === undefined) return readLive(options);
  if (file === '-')
    return within('stdin', () =>
      readMachine(
        attempt(() => readFileSync(0)),
        { name: 'stdin', ...options },
      ),
    );
  const builtin = builtinMachines().find(({ name }) => name === file);
  if (builtin !== undefined) return readMachine(JSON.stringify(builtinMachine(file)), { name: file, ...options });
  return within(file, () => readMachineFile(file, options));
}

function readLive(options: ReadOptions): MachineReading {
  if (process.platform !== 'linux') {
    const names = builtinMachines().map(({ name }) => name);
    throw new UsageError(`expected a file or a built-in machine (${names.join(', ')}); only Linux shows its own`);
  }
  return within(LIVE_ROOT, () => readLiveMachine(LIVE_ROOT, options));
}

/** Puts the source's name before what is wrong with it. */
function within<T>(source: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const isBadInput = error instanceof TopologyError || error instanceof UsageError;
    if (!isBadInput || error.message.includes(source)) throw error;
    throw new UsageError(`${source}: ${error.message}`);
  }
}

/** What the file system says. @throws UsageError */
function attempt<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** The groups of the listing of `--expect-groups`. @throws UsageError naming the file */
export function readExpectedGroups(file: string): ReturnType<typeof readGroupListing> {
  return within(file, () => readGroupListing(attempt(() => readFileSync(file, 'utf8'))));
}

function chooseIommu(asked: string | undefined, reading: MachineReading): { iommu: boolean; because: string } {
  const shown = shownIommu(reading);
  if (asked === undefined) return shown;
  if (asked !== 'on' && asked !== 'off') throw new UsageError(`--iommu: expected on or off, got "${asked}"`);
  const taken = asked === 'off' && shown.iommu ? ', what it made the kernel set up in ACS taken back' : '';
  return { iommu: asked === 'on', because: `--iommu${taken}` };
}

/** Whether the source was made on a machine that used an IOMMU. */
function shownIommu(reading: MachineReading): { iommu: boolean; because: string } {
  if (reading.listedGroups !== null) return { iommu: true, because: 'the source lists IOMMU groups' };
  const words = reading.description.functions.flatMap(({ acs, acsControlIfAny }) =>
    acs === null || acs === 'unknown' ? (acsControlIfAny ?? []) : acs.ctrl,
  );
  if (words.some((ctrl) => (ctrl & ACS_ON) === ACS_ON)) {
    return { iommu: true, because: 'ACS is set up in the source as an IOMMU makes the kernel do it' };
  }
  const because = words.length === 0 ? 'not told by the source; see --iommu' : 'ACS is not set up in the source';
  return { iommu: false, because };
}

/** The machine before a kernel with an IOMMU set up ACS; firmware is taken to leave these bits clear. */
function withoutIsolation(description: MachineDescription): MachineDescription {
  const functions = description.functions.map((fn) => {
    const { acs, acsControlIfAny } = fn;
    if (acs !== null && acs !== 'unknown') return { ...fn, acs: { ...acs, ctrl: acs.ctrl & ~ACS_ON } };
    return acsControlIfAny === undefined ? fn : { ...fn, acsControlIfAny: acsControlIfAny & ~ACS_ON };
  });
  return { ...description, functions };
}

function parseCpu(text: string): CpuDescription {
  const match = CPU_PATTERN.exec(text);
  if (match === null)
    throw new UsageError(`--cpu: expected a processor such as AMD:0x19, Intel:6 or ARM, got "${text}"`);
  const [, vendor = '', family] = match;
  return {
    vendor: CPU_NAMES.get(vendor.toLowerCase()) ?? vendor,
    family: family === undefined ? null : Number(family),
  };
}

/** The spelling that the rules know. */
const CPU_NAMES: ReadonlyMap<string, string> = new Map(
  ['AMD', 'Intel', 'Hygon', 'ARM'].map((name) => [name.toLowerCase(), name]),
);

/** @throws UsageError for what the kernel would not understand */
function parseRedirList(text: string): readonly string[] {
  const names = text.split(';').filter((part) => part !== '');
  for (const name of names) within('--disable-acs-redir', () => parseDevicePattern(name));
  return names;
}

/** @throws UsageError for what the kernel would not understand */
function parseConfig(text: string): string {
  within('--config-acs', () => parseConfigAcs(text));
  return text;
}

function parseOverrides(text: string, { description }: MachineReading): Readonly<Record<string, number>> {
  const known = new Set(description.functions.map(({ bdf }) => bdf));
  return Object.fromEntries(
    text.split(',').map((part) => {
      const [name = '', word = ''] = part.split('=').map((side) => side.trim());
      const parts = tryParseBdf(name);
      if (parts === undefined || !(word === 'on' || word === 'off' || WORD_PATTERN.test(word))) {
        throw new UsageError(`--acs-override: expected BDF=on, BDF=off or BDF=WORD in hex, got "${part}"`);
      }
      const bdf = formatBdf(parts);
      if (!known.has(bdf)) throw new UsageError(`--acs-override: no function ${bdf} in machine ${description.name}`);
      return [bdf, word === 'on' ? ACS_ON : word === 'off' ? 0 : Number.parseInt(word, 16)];
    }),
  );
}
