/** Options of `stress` as typed. */
export interface StressFlags {
  readonly scenario?: string;
  readonly machine?: string;
  readonly exporter?: string;
  readonly importers?: string;
  readonly rogue?: string;
  readonly threads?: string;
  readonly duration?: string;
  readonly ops?: string;
  readonly seed?: string;
  readonly faults?: string;
  readonly kernel?: string;
  readonly json?: boolean;
  readonly trace?: string;
  readonly out?: string;
}
