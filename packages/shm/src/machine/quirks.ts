import type { Machine } from './machine.ts';
import type { KernelProfile } from './options.ts';

/** One behaviour in which kernels differ. */
export interface Quirk {
  /** What a machine with it does, against one without. */
  readonly what: string;
  /** Where the difference comes from: the change that made or ended it. */
  readonly why: string;
  /** Profiles that have it; with any other it can be switched on alone, by name (option `quirks` of the machine). */
  readonly kernels: readonly KernelProfile[];
}

/** The quirks of one package, by name (`package.what`). */
export class QuirkTable<Name extends string> {
  readonly quirks: Readonly<Record<Name, Quirk>>;

  constructor(quirks: Readonly<Record<Name, Quirk>>) {
    this.quirks = quirks;
  }

  /** Whether `machine` has the quirk, by its kernel or by name. */
  has(machine: Machine, name: Name): boolean {
    return machine.quirk(name) || this.quirks[name].kernels.includes(machine.options.kernel);
  }
}

/** Declares the quirks of a package. */
export function defineQuirks<const Name extends string>(quirks: Readonly<Record<Name, Quirk>>): QuirkTable<Name> {
  return new QuirkTable(quirks);
}
