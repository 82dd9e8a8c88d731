/*
 * Files, descriptors and tasks by the book: plain objects of one thread.
 */

/** A call of the model failed. */
export class ModelError extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

export function fail(code: string): never {
  throw new ModelError(code);
}

/** An open file. */
export class ModelFile {
  readonly type: 'dmabuf' | 'sync_file' | 'sw_sync';
  /** What becomes of the object behind it when the last reference is gone. */
  readonly release: () => void;
  refs = 1;

  constructor(type: ModelFile['type'], release: () => void) {
    this.type = type;
    this.release = release;
  }
}

/** The descriptors of a process. */
export class ModelProcess {
  readonly fds: (ModelFile | undefined)[];

  constructor(limit: number) {
    this.fds = Array.from({ length: limit }, () => undefined);
  }

  /** The lowest free descriptor from `least` on. */
  lowest(least = 0): number {
    const fd = this.fds.findIndex((file, i) => i >= least && file === undefined);
    return fd < 0 ? fail('EMFILE') : fd;
  }

  at(fd: number): ModelFile {
    return this.fds[fd] ?? fail('EBADF');
  }

  install(file: ModelFile, least = 0): number {
    const fd = this.lowest(least);
    this.fds[fd] = file;
    return fd;
  }
}

/** A task: whose descriptors it uses, how many locks it holds, and which files it releases once it holds none. */
export class ModelTask {
  readonly process: ModelProcess;
  locks = 0;
  readonly ending: ModelFile[] = [];

  constructor(process: ModelProcess) {
    this.process = process;
  }
}

/** What all tasks share. */
export class ModelMachine {
  readonly tasks: readonly ModelTask[];
  /** Who runs. */
  task: ModelTask;
  files = 0;
  /** Most files that may be open; 0 for no limit. */
  maxFiles = 0;
  /** `kind code` of every diagnostic. */
  readonly diag: string[] = [];

  constructor(tasks: readonly ModelTask[]) {
    this.tasks = tasks;
    this.task = tasks[0]!;
  }

  /** A file with one reference. @throws `code` at the limit */
  open(type: ModelFile['type'], release: () => void, code = 'ENFILE'): ModelFile {
    if (this.maxFiles !== 0 && this.files >= this.maxFiles) fail(code);
    this.files++;
    return new ModelFile(type, release);
  }

  put(file: ModelFile): void {
    if (--file.refs === 0) this.task.ending.push(file);
  }

  /** Releases what the task that runs may release now. */
  settle(): void {
    if (this.task.locks > 0) return;
    for (let file = this.task.ending.shift(); file !== undefined; file = this.task.ending.shift()) {
      file.release();
      this.files--;
    }
  }

  once(record: string): void {
    if (!this.diag.includes(record)) this.diag.push(record);
  }
}
