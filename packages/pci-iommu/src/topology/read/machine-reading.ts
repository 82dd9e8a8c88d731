import type { Bdf } from '../bdf.ts';
import type { CpuDescription, MachineDescription } from '../description/machine-description.ts';
import type { ListedGroup } from '../listing/listed-group.ts';

/** What kind of text or file a machine was read from. */
export type MachineFormat = 'lspci' | 'lspci-tree' | 'sysfs' | 'nccl-xml' | 'machine' | 'group-listing' | 'boot-log';

/** What can be missing. */
export const UNKNOWN_KINDS = [
  'acs',
  'ids',
  'class',
  'bars',
  'bar-size',
  'bar-index',
  'bus-offset',
  'windows',
  'cpu',
  'parent',
  'bus-numbers',
  'pcie-type',
  'flr',
] as const;
export type UnknownKind = (typeof UNKNOWN_KINDS)[number];

/** Something that the source does not tell and that a verdict or a run may rest on. */
export interface Unknown {
  /** The function that it is about; `null` when it is about the machine or about all functions. */
  readonly bdf: Bdf | null;
  readonly what: UnknownKind;
  /** One sentence for people, with what to do about it. */
  readonly text: string;
}

/** Something in the source that was not taken as it stands. */
export interface ReadingWarning {
  /** Line of the text, from 1; `null` when it is about no line. */
  readonly line: number | null;
  readonly text: string;
}

/** A machine as read from what a person pasted, with all that the source does not tell. */
export interface MachineReading {
  readonly source: { readonly name: string; readonly format: MachineFormat };
  readonly description: MachineDescription;
  readonly unknowns: readonly Unknown[];
  readonly warnings: readonly ReadingWarning[];
  /** IOMMU groups that the source itself lists, the other side of a comparison; `null` when it lists none. */
  readonly listedGroups: readonly ListedGroup[] | null;
}

/** What a reader is told besides the source. */
export interface ReadOptions {
  /** Short name of the machine; `machine` when left out. */
  readonly name?: string;
  /** One line for people; the name when left out. */
  readonly title?: string;
  /** Leaves out what cannot be read, with a warning for each line, instead of refusing the source. */
  readonly lenient?: boolean;
  /** The processor, when the source does not tell it or tells it wrong. */
  readonly cpu?: CpuDescription;
}
