/** Options of `scn`, as given. */
export interface ScnFlags {
  readonly kernel: string;
  readonly quirk?: string;
  readonly expect?: string;
  readonly replay?: string;
  readonly filter?: string;
  readonly jobs?: string;
  readonly json?: boolean;
}
