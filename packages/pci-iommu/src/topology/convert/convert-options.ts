import type { CpuDescription, HostWindowDescription, MachineDescription } from '../description/machine-description.ts';
import type { ReadingWarning, Unknown } from '../read/machine-reading.ts';

/** What a conversion is told besides the listing. */
export interface ConvertOptions {
  /** Short name of the machine. */
  readonly name: string;
  /** One line for people; the name when left out. */
  readonly title?: string;
  /** The processor; without it, what the ids of the root complex tell. */
  readonly cpu?: CpuDescription;
  /** Windows per root bus (`0000:40`); without them, the smallest ranges that cover what is mapped below. */
  readonly hostWindows?: Readonly<Record<string, readonly HostWindowDescription[]>>;
  /** Buses (`0000:40`) that the source itself shows as root buses. */
  readonly rootBuses?: ReadonlySet<string>;
  /** Leaves out what contradicts itself, with a warning, instead of refusing it. */
  readonly lenient?: boolean;
}

/** A description, what the listing does not tell, and what could not be taken over. */
export interface Conversion {
  readonly description: MachineDescription;
  readonly unknowns: readonly Unknown[];
  readonly warnings: readonly ReadingWarning[];
}
