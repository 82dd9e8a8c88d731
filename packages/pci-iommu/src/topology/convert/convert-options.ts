import type { CpuDescription, HostWindowDescription } from '../description/machine-description.ts';

/** What a conversion is told besides the listing. */
export interface ConvertOptions {
  /** Short name of the machine. */
  readonly name: string;
  /** One line for people; the name when left out. */
  readonly title?: string;
  /** The processor; without it the vendor of the root complex is taken and the family stays unknown. */
  readonly cpu?: CpuDescription;
  /** Windows per root bus (`0000:40`); without them, the smallest ranges that cover what is mapped below. */
  readonly hostWindows?: Readonly<Record<string, readonly HostWindowDescription[]>>;
}

/** A description and what could not be taken over, one sentence each. */
export interface Conversion<T> {
  readonly description: T;
  readonly warnings: readonly string[];
}
