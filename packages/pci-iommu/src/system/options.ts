import type { Machine } from '@dmabuf-emu/shm';
import { DEFAULT_IOTLB, DEFAULT_PGSIZES, type FlushQueueKind, type IotlbShape } from '../iommu/index.ts';
import { builtinMachine, type MachineDescription } from '../topology/index.ts';

/** How the PCI side of a machine is made. */
export interface PciOptions {
  /** A machine description, or the name of one that comes with the package. */
  readonly topology: MachineDescription | string;
  /** Devices' addresses are translated, and ACS is set up for isolation. On by default. */
  readonly iommu?: boolean;
  /**
   * Invalidate the IOTLB at every unmap; `false` lets the DMA API put it off, but for untrusted functions. On by default.
   * @kernel iommu.strict
   */
  readonly strict?: boolean;
  /** How invalidations that are put off are queued. One queue a task by default. */
  readonly flushQueue?: FlushQueueKind;
  /** Do not try addresses below 4 GiB first. @kernel iommu.forcedac */
  readonly forcedac?: boolean;
  /** Attach functions to their domains when they are first used, as a crash kernel does. @kernel is_attach_deferred */
  readonly deferredAttach?: boolean;
  /** Shape of each domain's IOTLB. */
  readonly iotlb?: IotlbShape;
  /** Sizes of the pages of domains added up: 4 KiB, 2 MiB and 1 GiB by default. @kernel iommu_domain.pgsize_bitmap */
  readonly pgsizeBitmap?: number;
  /** Amount of RAM; as much as the machine has memory by default. It only takes room where it is written. */
  readonly ramBytes?: number;
  /** Let at most this much of the machine's memory stand behind physical addresses. */
  readonly backingBytes?: number;
  /** Highest address that devices can reach; 2^64 - 1 by default. */
  readonly dmaMask?: number;
  /** Notice what hardware would let pass: stale translations, revoked mappings, writes to free RAM. On by default. */
  readonly checks?: boolean;
  /** An uncorrectable error stops the machine, as platforms do that turn it into a machine check. Off by default. */
  readonly fatalErrors?: boolean;
  /** Leave command registers as the description has them. By default every function is enabled and may master the bus. */
  readonly commandAsDescribed?: boolean;
  /** Functions named by `pci=disable_acs_redir=`: see `AcsSetup`. */
  readonly disableAcsRedir?: readonly string[];
  /** The text after `pci=config_acs=`. */
  readonly configAcs?: string;
  /** Functions that must not touch more than whole pages. @kernel pci_dev.untrusted */
  readonly untrusted?: readonly string[];
}

/** Options as every thread reads them: with defaults, and the topology by value. */
export interface PciConfig {
  readonly topology: MachineDescription;
  readonly iommu: boolean;
  readonly strict: boolean;
  readonly flushQueue: FlushQueueKind;
  readonly forcedac: boolean;
  readonly deferredAttach: boolean;
  readonly iotlb: IotlbShape;
  readonly pgsizeBitmap: number;
  readonly ramBytes: number;
  readonly backingBytes: number;
  readonly dmaMask: number;
  readonly checks: boolean;
  readonly fatalErrors: boolean;
  readonly commandAsDescribed: boolean;
  readonly disableAcsRedir: readonly string[];
  readonly configAcs: string;
  readonly untrusted: readonly string[];
}

const BLOB = 'pci.config';

/** Fills in defaults. @throws TopologyError for an unknown name */
export function resolvePciOptions(machine: Machine, options: PciOptions): PciConfig {
  const { topology } = options;
  return {
    topology: typeof topology === 'string' ? builtinMachine(topology) : topology,
    iommu: options.iommu ?? true,
    strict: options.strict ?? true,
    flushQueue: options.flushQueue ?? 'per-task',
    forcedac: options.forcedac ?? false,
    deferredAttach: options.deferredAttach ?? false,
    iotlb: options.iotlb ?? DEFAULT_IOTLB,
    pgsizeBitmap: options.pgsizeBitmap ?? DEFAULT_PGSIZES,
    ramBytes: options.ramBytes ?? machine.memoryBytes,
    backingBytes: options.backingBytes ?? machine.memoryBytes,
    dmaMask: options.dmaMask ?? 2 ** 64,
    checks: options.checks ?? true,
    fatalErrors: options.fatalErrors ?? false,
    commandAsDescribed: options.commandAsDescribed ?? false,
    disableAcsRedir: options.disableAcsRedir ?? [],
    configAcs: options.configAcs ?? '',
    untrusted: options.untrusted ?? [],
  };
}

/** Puts the options where other threads find them. @throws UsageError when the machine has a PCI side already */
export function storeConfig(machine: Machine, config: PciConfig): void {
  machine.setBlob(BLOB, new TextEncoder().encode(JSON.stringify(config)));
}

/** The options of a machine's PCI side; `null` when it has none. */
export function loadConfig(machine: Machine): PciConfig | null {
  const bytes = machine.blob(BLOB);
  return bytes === undefined ? null : (JSON.parse(new TextDecoder().decode(bytes)) as PciConfig);
}
