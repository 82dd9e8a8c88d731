/** A shared WebAssembly memory, as far as it is used here. */
export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
}

/** The part of the host's WebAssembly interface that is used here; typed locally so that consumers need no DOM types. */
interface WasmHost {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: true }) => WasmMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
}

/** WebAssembly of this host, or undefined where there is none. */
export const wasmHost = (globalThis as { WebAssembly?: WasmHost }).WebAssembly;

/** Whether `value` is a WebAssembly memory over shared bytes. */
export function isWasmMemory(value: unknown): value is WasmMemory {
  return wasmHost !== undefined && value instanceof wasmHost.Memory && value.buffer instanceof SharedArrayBuffer;
}
