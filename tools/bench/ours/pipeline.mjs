// P25, P26: one thread submits jobs, an engine on another moves the bytes with function.dma.copy (both sides behind the
// IOMMU) and signals a fence a job. Calls Completion for "there is work", fenceCreate / fenceSignal / fenceWait / fencePut
// for "it is done".
import { built } from '../lib/not-wired.mjs';
import { latency, scaled } from '../lib/stats.mjs';
import { runTogether } from '../lib/threads.mjs';
import { joinMachine } from './machine.mjs';
import { createSystem, PAGE } from './pci-system.mjs';

const SLOTS = 64;
const JOB_WORDS = 4; // fence, slot of the source and target ranges
const LINE_WORDS = 32; // two cache lines
const ROOT_WORDS = LINE_WORDS + SLOTS * JOB_WORDS;
const FIRST_IOVA = 2 ** 32;
const FENCE_EXPORTS = [
  'defineFenceOps',
  'fenceContextAlloc',
  'fenceCreate',
  'fenceGet',
  'fenceSignal',
  'fenceWait',
  'fencePut',
];

export async function dmaJobs({ pages, inFlight, jobs }) {
  await built('core', FENCE_EXPORTS);
  const sideBytes = pages * SLOTS * PAGE;
  const { machine, system, device, readWrite } = await createSystem({ memoryBytes: 2 * sideBytes + (32 << 20) });
  const physical = system.memory.allocPages((2 * sideBytes) / PAGE);
  system.memory.cpuFill(physical, 1, 2 * sideBytes); // pages never written all read from the one zero page
  device.iommu.map(FIRST_IOVA, physical, 2 * sideBytes, readWrite);
  const data = {
    handle: machine.handle,
    bdf: device.bdf,
    bytes: pages * PAGE,
    sideBytes,
    inFlight,
    jobs: scaled(jobs),
  };
  const { results, elapsedMs } = await runTogether(import.meta.url, [
    { run: 'importer', data },
    { run: 'engine', data },
  ]);
  return { ...latency(results[0]), kjobs_s: data.jobs / elapsedMs };
}

async function open({ handle }, name) {
  const { Completion } = await built('shm', ['Completion']);
  const core = await built('core', FENCE_EXPORTS);
  const machine = await joinMachine(handle, name);
  const at = machine.root('bench.jobs', ROOT_WORDS);
  return { core, machine, work: new Completion(machine, at, 'bench.work'), ring: at + LINE_WORDS };
}

// Plain functions have the loops: V8 replaces a running loop by optimised code in those only, not in async ones.

export async function importer(data, gate) {
  return importWith(await open(data, 'importer'), data, gate);
}

function importWith({ core, machine, work, ring }, data, gate) {
  const { fenceCreate, fenceGet, fenceWait, fencePut } = core;
  const { jobs, inFlight } = data;
  const words = machine.mem.i32;
  const ops = core.defineFenceOps({ name: 'bench', getDriverName: () => 'bench', getTimelineName: () => 'bench' });
  const init = { ops, context: core.fenceContextAlloc(machine), seqno: 0 };
  const fences = new Int32Array(SLOTS);
  const started = new Float64Array(jobs);
  const samples = new Float64Array(jobs);
  gate.start();
  for (let i = 0; i < jobs + inFlight; i++) {
    const done = i - inFlight;
    if (done >= 0 && done < jobs) {
      const fence = fences[done % SLOTS];
      fenceWait(machine, fence);
      fencePut(machine, fence);
      samples[done] = performance.now() - started[done];
    }
    if (i < jobs) {
      const k = i % SLOTS;
      started[i] = performance.now();
      init.seqno = i;
      fences[k] = fenceCreate(machine, init);
      words[ring + k * JOB_WORDS] = fenceGet(machine, fences[k]); // the engine's reference
      work.complete(); // publishes the job
    }
  }
  return samples;
}

export async function engine(data, gate) {
  const { PciSystem } = await built('pci-iommu', ['PciSystem']);
  const opened = await open(data, 'engine');
  const { dma } = PciSystem.of(opened.machine).function(data.bdf);
  workWith(opened, dma, data, gate);
}

function workWith({ core, machine, work, ring }, dma, data, gate) {
  const { fenceSignal, fencePut } = core;
  const words = machine.mem.i32;
  gate.start();
  for (let i = 0; i < data.jobs; i++) {
    work.wait();
    const k = i % SLOTS;
    const source = FIRST_IOVA + k * data.bytes;
    dma.copy(source + data.sideBytes, source, data.bytes);
    const fence = words[ring + k * JOB_WORDS];
    fenceSignal(machine, fence);
    fencePut(machine, fence);
  }
}
