/** A scenario or results file that cannot be understood: says where, and what was expected there. */
export class ScnError extends Error {
  readonly file: string;
  /** Line in the file, from 1; 0 for the file as a whole. */
  readonly line: number;

  constructor(file: string, line: number, text: string) {
    super(line === 0 ? `${file}: ${text}` : `${file}: line ${line}: ${text}`);
    this.name = 'ScnError';
    this.file = file;
    this.line = line;
  }
}
