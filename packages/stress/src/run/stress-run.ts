import { PciSystem } from '@dmabuf-emu/pci-iommu';
import { Machine } from '@dmabuf-emu/shm';
import { TraceRecorder, writeTraceFile } from '@dmabuf-emu/trace';
import { Board, PHASE_OVER, PHASE_RUNNING, PHASE_STOPPING } from '../board/board.ts';
import { ROLE_IDLE } from '../board/role-record.ts';
import { buildResult } from '../result/build-result.ts';
import { BoardNames } from '../result/names.ts';
import { reproLine } from '../result/repro.ts';
import type { HangResult, StressResult } from '../result/stress-result.ts';
import { countViolations } from '../result/violations.ts';
import { registerAll } from '../roles/register-all.ts';
import { isController } from '../roles/role-task.ts';
import type { Actor } from './actor.ts';
import { Crew } from './crew.ts';
import { HostLoad } from './host-load.ts';
import { Killer } from './killer.ts';
import { planStress, type PlannedStress } from './plan-stress.ts';
import { ProgressMeter } from './progress-meter.ts';
import type { StressOptions, StressProgress } from './stress-options.ts';
import { HANG_MS, Watchdog } from './watchdog.ts';

/** Time between two looks at the run. */
const TICK_MS = 50;
const PROGRESS_MS = 250;
/** All threads must have joined and be ready by then. */
const START_MS = 30_000;
/** A rogue that keeps others from getting on is killed after this long; when the run is over, after that long. */
const ROGUE_STALL_MS = 3500;
const ROGUE_GRACE_MS = 1500;
/** Events that each task's ring keeps while a trace is written. */
const TRACE_EVENTS = 1 << 14;
const ARENA_BYTES = 128 << 20;

/**
 * Runs a scenario: builds the machine, starts a thread for every role, lets them work, stops them, checks everything.
 * @throws InputError when the scenario does not fit the machine; nothing was started then.
 */
export async function runStress(options: StressOptions): Promise<StressResult> {
  const planned = planStress(options.scenario, options.machine);
  const { scenario } = options;
  const threads = planned.plan.controllers.length + planned.plan.engines.length;
  const machine = Machine.create({
    name: 'main',
    arenaBytes: ARENA_BYTES,
    memoryBytes: planned.memoryBytes,
    kernel: scenario.kernel,
    seed: scenario.seed,
    quirks: options.quirks ?? [],
    traceEvents: options.traceFile === undefined ? 0 : TRACE_EVENTS,
  });
  try {
    const pci = PciSystem.create(machine, {
      topology: planned.description,
      disableAcsRedir: planned.disableAcsRedir,
    });
    registerAll(machine);
    await using crew = new Crew(threads, { machine: machine.handle, seed: scenario.seed, faults: scenario.faults });
    return await new StressRun(options, planned, machine, pci, crew).run();
  } finally {
    machine.leave();
  }
}

/** One run, from the main thread's side: nothing here blocks. */
class StressRun {
  readonly #options: StressOptions;
  readonly #planned: PlannedStress;
  readonly #machine: Machine;
  readonly #pci: PciSystem;
  readonly #crew: Crew;
  readonly #board: Board;
  readonly #host = new HostLoad();
  readonly #watchdog: Watchdog;
  readonly #meter: ProgressMeter;
  readonly #names: BoardNames;
  readonly #recorder: TraceRecorder | undefined;
  readonly #crashed = new Set<Actor>();
  #killer: Killer | undefined;
  #reapFailed = false;
  #hangs: readonly HangResult[] = [];
  #startMs = 0;
  #loadMs = 0;
  #reportedMs = 0;

  constructor(options: StressOptions, planned: PlannedStress, machine: Machine, pci: PciSystem, crew: Crew) {
    const { plan } = planned;
    this.#options = options;
    this.#planned = planned;
    this.#machine = machine;
    this.#pci = pci;
    this.#crew = crew;
    this.#board = new Board(machine);
    this.#board.opsLimit = options.scenario.ops ?? 0;
    this.#board.setEngines(plan.controllers.length, plan.engines.length);
    this.#watchdog = new Watchdog(machine, this.#board);
    this.#meter = new ProgressMeter(this.#board, pci, plan);
    this.#names = new BoardNames(machine, this.#board, pci, plan);
    this.#recorder = options.traceFile === undefined ? undefined : new TraceRecorder(machine);
  }

  async run(): Promise<StressResult> {
    const { plan } = this.#planned;
    for (const role of [...plan.controllers, ...plan.engines]) this.#crew.start(role);
    if (await this.#becomeReady()) {
      await this.#load();
      await this.#stop();
    }
    await this.#killer?.settle();
    return this.#finish();
  }

  /** Waits until every role is ready; false when the run cannot start. */
  async #becomeReady(): Promise<boolean> {
    const deadline = this.#machine.clock.nowMs() + START_MS;
    while (this.#crew.actors.some(({ plan }) => this.#board.role(plan.role).state === ROLE_IDLE)) {
      if (this.#noticeCrashes()) return false;
      if (this.#machine.clock.nowMs() > deadline) {
        this.#hangs = this.#watchdog.describe(
          this.#crew.actors.filter(({ plan }) => this.#board.role(plan.role).state === ROLE_IDLE),
        );
        return false;
      }
      this.#report('starting', 0);
      await sleep(TICK_MS / 5);
    }
    return !this.#noticeCrashes();
  }

  /** The load itself, until its time or its work is done, or something went wrong. */
  async #load(): Promise<void> {
    const { scenario } = this.#options;
    const { machine, crew, pci, board } = {
      machine: this.#machine,
      crew: this.#crew,
      pci: this.#pci,
      board: this.#board,
    };
    this.#startMs = machine.clock.nowMs();
    this.#killer = new Killer({ machine, pci, board, crew, seed: scenario.seed, rate: scenario.faults.kill });
    if (scenario.faults.alloc > 0) machine.faults.rate(scenario.faults.alloc, scenario.seed);
    board.setPhase(PHASE_RUNNING);
    for (;;) {
      const elapsed = machine.clock.nowMs() - this.#startMs;
      const left = scenario.ops === undefined ? scenario.durationMs - elapsed : TICK_MS;
      if (left <= 0 || board.stopping || this.#noticeCrashes() || (await this.#noticeStall())) break;
      this.#report('running', elapsed);
      await sleep(Math.min(TICK_MS, left, Math.max(1, this.#killer.untilNextMs)));
      this.#killer.tick();
      this.#recorder?.poll();
    }
    this.#loadMs = machine.clock.nowMs() - this.#startMs;
    machine.faults.off();
  }

  /** Lets every role give back what it has, and leave. */
  async #stop(): Promise<void> {
    this.#board.setPhase(PHASE_STOPPING);
    await this.#killer?.settle();
    const sinceMs = this.#machine.clock.nowMs();
    this.#watchdog.restart();
    while (this.#hangs.length === 0 && this.#crew.actors.some(({ end }) => end === undefined)) {
      this.#noticeCrashes();
      if (await this.#noticeStall()) break;
      const rogues = this.#rogues();
      if (this.#crew.actors.every((actor) => actor.end !== undefined || rogues.includes(actor)))
        this.#board.setPhase(PHASE_OVER);
      else if (this.#machine.clock.nowMs() - sinceMs > ROGUE_GRACE_MS) await this.#killRogues();
      this.#report('stopping', this.#machine.clock.nowMs() - this.#startMs);
      await sleep(TICK_MS / 5);
    }
  }

  /** Deals with roles that do not get on: a rogue that may be the reason is killed; without one it is a hang. */
  async #noticeStall(): Promise<boolean> {
    const stretch = this.#host.look(this.#machine.clock.nowMs());
    const rogues = this.#rogues().length > 0;
    // A rogue must be late within the time of the run, so that its bounds stay as they are.
    this.#machine.clock.stretch = rogues ? 1 : stretch;
    const stalled = this.#watchdog.look(this.#crew.actors, rogues ? ROGUE_STALL_MS : HANG_MS * stretch);
    if (stalled.length === 0) return false;
    if (await this.#killRogues()) return this.#board.phase === PHASE_RUNNING;
    const hung = this.#watchdog.look(this.#crew.actors, HANG_MS * stretch);
    this.#hangs = this.#watchdog.describe(hung);
    return hung.length > 0;
  }

  #rogues(): Actor[] {
    return this.#crew.actors.filter(
      (actor) => !isController(actor.plan) && actor.plan.kind === 'rogue' && actor.end === undefined,
    );
  }

  async #killRogues(): Promise<boolean> {
    const rogues = this.#rogues();
    for (const rogue of rogues) await this.#killer?.kill(rogue, false);
    if (rogues.length > 0) this.#watchdog.restart();
    return rogues.length > 0;
  }

  /** Whether a role ended by an error of its own, or could not be cleaned up after: a violation, and the end of the run. */
  #noticeCrashes(): boolean {
    const failure = this.#killer?.failure;
    if (failure !== undefined && !this.#reapFailed) {
      this.#reapFailed = true;
      this.#machine.diag.violation({ rule: 'reap-failed', text: textOf(failure), step: 'reap' });
    }
    for (const actor of this.#crew.actors) {
      if (actor.end?.how !== 'crashed' || this.#crashed.has(actor)) continue;
      this.#crashed.add(actor);
      const { error } = actor.end;
      const { what, buffer } = this.#board.role(actor.plan.role).activity;
      this.#machine.diag.violation({
        rule: 'role-crashed',
        text: textOf(error),
        importer: actor.plan.name,
        buffer: this.#planned.plan.buffers[buffer]?.name ?? 'none',
        step: what === '' ? 'start' : what,
      });
    }
    return this.#crashed.size > 0 || this.#reapFailed;
  }

  #report(phase: StressProgress['phase'], elapsedMs: number): void {
    const now = this.#machine.clock.nowMs();
    if (this.#options.onProgress === undefined || now - this.#reportedMs < PROGRESS_MS) return;
    this.#reportedMs = now;
    const { scenario } = this.#options;
    this.#options.onProgress(
      this.#meter.read({
        phase,
        elapsedMs,
        durationMs: scenario.durationMs,
        opsLimit: scenario.ops ?? 0,
        kills: this.#killer?.casualties.length ?? 0,
        violations: countViolations(this.#machine, this.#pci.faults, this.#planned.plan, this.#names),
      }),
    );
  }

  async #finish(): Promise<StressResult> {
    const { scenario, traceFile } = this.#options;
    this.#machine.flushWork();
    const repro = this.#options.repro ?? reproLine(scenario);
    const result = buildResult({
      scenario,
      plan: this.#planned.plan,
      machineName: this.#planned.description.name,
      machine: this.#machine,
      pci: this.#pci,
      board: this.#board,
      names: this.#names,
      casualties: this.#killer?.casualties ?? [],
      hangs: this.#hangs,
      loadMs: this.#loadMs,
      repro,
    });
    if (this.#recorder !== undefined && traceFile !== undefined) {
      const { kernel, seed } = scenario;
      await writeTraceFile(traceFile, this.#recorder.finish({ kernel, seed, machine: result.machine, repro }));
    }
    return result;
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message).slice(0, 500) : String(error);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}
