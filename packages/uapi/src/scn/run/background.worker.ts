import { parentPort, workerData } from 'node:worker_threads';
import { Machine, TaskStruct } from '@dmabuf-emu/shm';
import { installUapi } from '../../install.ts';
import { Process } from '../../process/process.ts';
import type { Answer } from '../results/scenario-result.ts';
import { type BackgroundReply, type BackgroundRequest, type BackgroundStart, backgroundWords } from './background.ts';
import { PROGRAM } from './computer.ts';
import { runStep } from './run-step.ts';

/** A call that took so long was blocked: the foreground is 30 ms behind it. */
const BLOCKED_MS = 25;

const { machine: handle, process: of, index, port } = workerData as BackgroundStart;
const machine = Machine.join(handle, { name: PROGRAM });
installUapi(machine);
const process = Process.join(machine, of);
const { started, done } = backgroundWords(machine, index);

port.on('message', (request: BackgroundRequest | null) => {
  if (request === null) {
    process.exitThread();
    machine.leave();
    port.close();
    return;
  }
  started.completeAll();
  port.postMessage(carryOut(request));
  done.completeAll();
});
parentPort!.postMessage({ task: machine.tid });

function carryOut({ step, variables }: BackgroundRequest): BackgroundReply {
  const { clock, mem, taskAt } = machine;
  const begin = clock.nowMs();
  const slept = TaskStruct.sleepSeq.load(mem, taskAt);
  try {
    const { answer, kept } = runStep(process, step, variables);
    // A thread that never slept was slow, not blocked.
    const waited = TaskStruct.sleepSeq.load(mem, taskAt) !== slept;
    const blocked = waited && clock.nowMs() - begin >= BLOCKED_MS;
    return { answer: { ...answer, blocked } satisfies Answer, kept };
  } catch (error) {
    return { failure: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
