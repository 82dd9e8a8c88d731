/** A memory access ended in a signal instead of a value. */
export class MemorySignal extends Error {
  readonly signal: 'SIGSEGV' | 'SIGBUS';
  readonly address: bigint;

  constructor(signal: 'SIGSEGV' | 'SIGBUS', address: bigint, text: string) {
    super(`${signal} at 0x${address.toString(16)}: ${text}`);
    this.name = 'MemorySignal';
    this.signal = signal;
    this.address = address;
  }
}

/** The kernel ended the process: what its caller sees instead of an answer. */
export class ProcessKilled extends Error {
  readonly signal: 'SIGKILL';

  constructor(text: string) {
    super(`SIGKILL: ${text}`);
    this.name = 'ProcessKilled';
    this.signal = 'SIGKILL';
  }
}
