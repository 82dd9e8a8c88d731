import { once } from 'node:events';
import { type MessagePort, MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { Completion, type Machine, type MachineHandle, taskAt, TaskStruct } from '@dmabuf-emu/shm';
import type { Process, ProcessHandle } from '../../process/process.ts';
import type { Step } from '../language/scenario.ts';
import { ScnError } from '../language/scn-error.ts';
import type { Variables } from '../ops/op-call.ts';
import type { Answer } from '../results/scenario-result.ts';

/** Most steps of a scenario that can be in the background. */
const MAX_BACKGROUND = 64;
/** Workers always run built code, also when this was loaded from its sources. */
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? '../../../dist/scn/run/background.worker.js' : './background.worker.js',
  import.meta.url,
);

/** What a thread for a background step is started with. */
export interface BackgroundStart {
  readonly machine: MachineHandle;
  readonly process: ProcessHandle;
  readonly index: number;
  readonly port: MessagePort;
}

/** Asks the thread to carry a step out. */
export interface BackgroundRequest {
  readonly step: Step;
  readonly variables: Variables;
}

/** How the step ended: its answer, or the message of what stopped it. */
export type BackgroundReply = { readonly answer: Answer; readonly kept: Variables } | { readonly failure: string };

/** Words by which a thread tells that it has begun with its step, and that it is done. */
export function backgroundWords(machine: Machine, index: number): { started: Completion; done: Completion } {
  const at = machine.root('uapi.background', 2 * MAX_BACKGROUND) + 2 * index;
  return { started: new Completion(machine, at, 'bg'), done: new Completion(machine, at + 1, 'join') };
}

/** A thread of the scenario's program that waits for a step to carry out. */
export class BackgroundThread implements AsyncDisposable {
  /** Its task, when it has joined. */
  readonly task: number;
  readonly #machine: Machine;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #words: { started: Completion; done: Completion };

  private constructor(machine: Machine, worker: Worker, port: MessagePort, index: number, task: number) {
    this.#machine = machine;
    this.#worker = worker;
    this.#port = port;
    this.#words = backgroundWords(machine, index);
    this.task = task;
  }

  /** Starts a thread and waits until it has joined the program. */
  static async start(process: Process, index: number): Promise<BackgroundThread> {
    const { machine } = process;
    if (index >= MAX_BACKGROUND) {
      throw new ScnError('', 0, `expected at most ${MAX_BACKGROUND} background steps in a scenario`);
    }
    const { started, done } = backgroundWords(machine, index);
    started.reinit();
    done.reinit();
    const { port1, port2 } = new MessageChannel();
    const workerData: BackgroundStart = { machine: machine.handle, process: process.handle, index, port: port2 };
    const worker = new Worker(WORKER, { workerData, transferList: [port2] });
    const [{ task }] = (await once(worker, 'message')) as [{ task: number }];
    return new BackgroundThread(machine, worker, port1, index, task);
  }

  /** Hands the step over; returns when the thread has begun with it. */
  begin(request: BackgroundRequest): void {
    this.#port.postMessage(request);
    this.#words.started.wait();
  }

  /** Whether the step is done or waits for something. */
  get isSettled(): boolean {
    return this.#words.done.done || TaskStruct.sleepAt.load(this.#machine.mem, taskAt(this.task)) !== 0;
  }

  /** Waits until the step is done. */
  join(): Exclude<BackgroundReply, { failure: string }> {
    this.#words.done.wait();
    const reply = receiveMessageOnPort(this.#port)!.message as BackgroundReply;
    if ('failure' in reply) throw new Error(`a background step failed: ${reply.failure}`);
    return reply;
  }

  /** Ends the thread; a step that still waits is interrupted, as by the program's end. */
  async [Symbol.asyncDispose](): Promise<void> {
    const exit = once(this.#worker, 'exit');
    this.#port.postMessage(null);
    this.#machine.interrupt(this.task);
    const [code] = (await exit) as [number];
    if (code !== 0) this.#machine.reap(this.task);
  }
}
