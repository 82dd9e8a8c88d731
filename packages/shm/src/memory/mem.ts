import { UsageError } from '../errors/kernel-error.ts';
import { jsMovers, wasmMovers, type Movers } from './movers.ts';
import { wasmHost, type WasmMemory } from './wasm-host.ts';

const WASM_PAGE = 65536;

/** What travels to other threads (structured clone): the memory itself. */
export type MemHandle = WasmMemory | SharedArrayBuffer;

/**
 * Views over a machine's one shared memory. A *word* is an index into `i32`; byte offsets are `word * 4`.
 * The memory is reserved at full size when it is created, so no view ever goes stale; the host commits pages on first touch.
 */
export class Mem {
  readonly handle: MemHandle;
  readonly buffer: SharedArrayBuffer;
  readonly i32: Int32Array;
  readonly f64: Float64Array;
  readonly u8: Uint8Array;
  readonly movers: Movers;

  constructor(handle: MemHandle) {
    this.handle = handle;
    this.buffer = handle instanceof SharedArrayBuffer ? handle : handle.buffer;
    this.i32 = new Int32Array(this.buffer);
    this.f64 = new Float64Array(this.buffer);
    this.u8 = new Uint8Array(this.buffer);
    this.movers = handle instanceof SharedArrayBuffer ? jsMovers(handle) : wasmMovers(handle);
  }

  /**
   * Reserves a zeroed memory of `bytes` (rounded up to 64 KiB, at most 4 GiB).
   * @param movers `'js'` forces the fallback without WebAssembly.
   * @throws UsageError when the size is out of range or the host refuses it.
   */
  static reserve(bytes: number, movers: 'wasm' | 'js' = 'wasm'): Mem {
    const pages = Math.ceil(bytes / WASM_PAGE);
    if (!(pages >= 1 && pages <= WASM_PAGE)) {
      throw new UsageError(`a machine's memory must have 1 byte to 4 GiB, got ${bytes} bytes`);
    }
    try {
      if (movers === 'js' || wasmHost === undefined) return new Mem(new SharedArrayBuffer(pages * WASM_PAGE));
      return new Mem(new wasmHost.Memory({ initial: pages, maximum: pages, shared: true }));
    } catch (error) {
      throw new UsageError(`the host refused ${pages * WASM_PAGE} bytes of shared memory: ${String(error)}`);
    }
  }

  get kind(): 'wasm' | 'js' {
    return this.movers.kind;
  }

  /**
   * The exports of a WebAssembly module that imports this memory as `env.memory`; `null` where bytes are moved by JavaScript.
   * @param base64 - the module's bytes
   */
  instantiate(base64: string): unknown {
    const { handle } = this;
    if (this.kind === 'js' || handle instanceof SharedArrayBuffer) return null;
    const host = wasmHost!;
    return new host.Instance(new host.Module(Buffer.from(base64, 'base64')), { env: { memory: handle } }).exports;
  }

  /** Copies `length` bytes; ranges may overlap. Offsets in bytes. */
  copy(dst: number, src: number, length: number): void {
    this.movers.copy(dst, src, length);
  }

  /** Sets `length` bytes at byte offset `at` to `value` (0-255). */
  fill(at: number, value: number, length: number): void {
    this.movers.fill(at, value, length);
  }

  /** 32-bit hash of `length` bytes at byte offset `at`. */
  hash(at: number, length: number): number {
    return this.movers.hash(at, length);
  }

  /** Copies `bytes` into the memory at byte offset `at`. */
  write(at: number, bytes: Uint8Array): void {
    this.u8.set(bytes, at);
  }

  /** A private copy of `length` bytes at byte offset `at`. */
  read(at: number, length: number): Uint8Array {
    return Uint8Array.prototype.slice.call(this.u8, at, at + length);
  }
}
