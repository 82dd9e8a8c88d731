import type { IoctlCommand } from '../../abi/ioctl-command.ts';
import type { AbiStruct, AbiValues } from '../../abi/layout.ts';
import type { Process } from '../../process/process.ts';
import { ioctl } from '../../syscalls/ioctl.ts';
import { evaluate } from '../language/expression.ts';
import type { Step } from '../language/scenario.ts';
import { failureOf } from './failure.ts';
import type { ResultValue } from '../results/json-text.ts';

/** What variables hold: descriptors, addresses, numbers. */
export type Variables = Map<string, bigint>;

/** One operation as it is carried out: its arguments, and the answer that it builds. */
export class OpCall {
  readonly process: Process;
  readonly step: Step;
  readonly answer: Record<string, ResultValue> = {};
  /** Variables that it has set. */
  readonly kept: Variables = new Map();
  readonly #variables: Variables;
  readonly #args: ReadonlyMap<string, string>;

  constructor(process: Process, step: Step, variables: Variables) {
    this.process = process;
    this.step = step;
    this.#variables = variables;
    // Of an argument given twice, the first counts.
    this.#args = new Map(step.args.toReversed());
  }

  has(key: string): boolean {
    return this.#args.has(key);
  }

  /** 64 bits, unsigned. @throws RangeError when it is missing or malformed */
  u64(key: string, otherwise?: bigint): bigint {
    const text = this.#args.get(key) ?? '';
    if (text === '' && otherwise !== undefined) return BigInt.asUintN(64, otherwise);
    return this.evaluate(text);
  }

  /** The low 32 bits, signed: a descriptor. */
  s32(key: string, otherwise?: bigint): number {
    return Number(BigInt.asIntN(32, this.u64(key, otherwise)));
  }

  /** The low 32 bits, unsigned. */
  u32(key: string, otherwise?: bigint): number {
    return Number(BigInt.asUintN(32, this.u64(key, otherwise)));
  }

  /** Bytes, one character each. */
  text(key: string, otherwise = ''): string {
    return this.#args.get(key) ?? otherwise;
  }

  /** The parts of a list. */
  list(key: string, separator = ','): string[] {
    return this.text(key)
      .split(separator)
      .filter((part) => part !== '');
  }

  evaluate(text: string): bigint {
    return evaluate(text, (name) => {
      const value = this.#variables.get(name);
      if (value === undefined) throw new RangeError(`expected a variable that an earlier step has set, got $${name}`);
      return value;
    });
  }

  /** Bytes written in hex, at most `limit`. */
  hex(key: string, otherwise: string, limit: number): Uint8Array {
    const text = this.text(key, otherwise);
    return Uint8Array.from(Buffer.from(text.slice(0, Math.min(text.length & ~1, limit * 2)), 'hex'));
  }

  set(key: string, value: ResultValue): void {
    this.answer[key] = value;
  }

  /** Keeps a number under the step's name. */
  keep(value: bigint | number): void {
    if (this.step.as !== '') this.kept.set(this.step.as, BigInt.asUintN(64, BigInt(value)));
  }

  /** Keeps a number under a name of its own, such as `a.size`. */
  keepAs(field: string, value: bigint | number): void {
    if (this.step.as !== '') this.kept.set(`${this.step.as}.${field}`, BigInt(value));
  }

  /** Runs a part that may fail: the error becomes the answer so far, and the operation goes on. */
  attempt(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      Object.assign(this.answer, failureOf(error));
    }
  }

  /** Answers with a plain return value. */
  returns(value: number | bigint): void {
    this.set('ret', value);
  }

  /** Answers with a new descriptor. */
  returnsFd(fd: number): void {
    this.keep(fd);
    this.set('ret', 'fd');
  }

  /** Answers with a new mapping. */
  returnsAddress(address: bigint): void {
    this.keep(address);
    this.set('ret', 'addr');
  }

  /** Makes an ioctl with a struct; returns what it returned and the struct as it is afterwards. @throws KernelError */
  ioctl<F extends object>(
    fd: number,
    { number, struct }: IoctlCommand<AbiStruct<F>>,
    values: Partial<AbiValues<F>>,
  ): { ret: number; out: AbiValues<F> } {
    const { memory } = this.process;
    return memory.stack.with(struct.encode(values), (address) => ({
      ret: ioctl(this.process, fd, number, address),
      out: memory.get(address, struct),
    }));
  }
}
