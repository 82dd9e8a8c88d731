/** A file is no trace file of this version, or is damaged; the message names the file and what is wrong with it. */
export class TraceFileError extends Error {
  readonly path: string;

  constructor(path: string, problem: string, options?: ErrorOptions) {
    super(`${path}: ${problem}`, options);
    this.name = 'TraceFileError';
    this.path = path;
  }
}
