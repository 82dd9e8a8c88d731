import { ResvUsage } from '@dmabuf-emu/core';
import { ModelResv } from '../resv/model.fixture.ts';
import type { ModelFence } from '../fence/containers-model.fixture.ts';
import { fail, type ModelFile, type ModelMachine, type ModelTask } from './files.fixture.ts';
import type { ExporterKind, FailNext, ImporterKind } from './drivers.fixture.ts';

/*
 * Buffers and their attachments by the book, core §1 and §5.
 */

export class ModelAttachment {
  readonly buffer: ModelBuffer;
  readonly importer: ImporterKind;
  readonly id: number;
  pins = 0;
  tables = 0;
  alive = true;

  constructor(buffer: ModelBuffer, importer: ImporterKind, id: number) {
    this.buffer = buffer;
    this.importer = importer;
    this.id = importer === 'static' ? 0 : id;
  }

  get isTold(): boolean {
    return this.importer === 'stubborn' || this.importer === 'obedient';
  }

  pin(): void {
    this.#check('dma_buf_pin');
    this.buffer.callPin(this);
    this.pins++;
  }

  unpin(): void {
    const { machine, log } = this.buffer;
    this.#check('dma_buf_unpin');
    if (this.pins === 0) return void machine.diag.push('violation double-unpin');
    this.pins--;
    if (this.buffer.isDynamic) log('unpin', this);
  }

  map(): void {
    const { buffer } = this;
    buffer.requireAlive(this);
    buffer.requireHeld();
    const pins = buffer.isDynamic && this.importer === 'static';
    if (pins) this.#pinForMap();
    try {
      buffer.callMap(this);
      if (this.importer === 'static' && buffer.resv.pending(ResvUsage.KERNEL).length > 0) {
        buffer.log('unmap', this);
        fail('ERESTARTSYS');
      }
    } catch (error) {
      if (pins) buffer.log('unpin', this);
      throw error;
    }
    this.tables++;
  }

  /** @param live whether the table is mapped through this attachment */
  unmap(live: boolean): void {
    const { buffer } = this;
    buffer.requireAlive(this);
    buffer.requireHeld();
    if (!live) return void buffer.machine.diag.push('violation double-unmap');
    this.tables--;
    buffer.log('unmap', this);
    if (buffer.isDynamic && this.importer === 'static') buffer.log('unpin', this);
  }

  #pinForMap(): void {
    try {
      this.buffer.callPin(this);
    } catch (error) {
      if ((error as { code?: string }).code === 'EBUSY') this.buffer.machine.once('warn dma_buf_map_attachment');
      throw error;
    }
  }

  #check(call: string): void {
    this.buffer.requireAlive(this);
    if (this.importer === 'static') this.buffer.machine.diag.push(`warn ${call}`);
    this.buffer.requireHeld();
  }
}

export class ModelBuffer {
  readonly machine: ModelMachine;
  readonly kind: ExporterKind;
  readonly id: number;
  readonly file: ModelFile;
  readonly resv = new ModelResv();
  readonly #calls: string[];
  readonly #failNext: FailNext;
  /** Newest first. */
  attachments: ModelAttachment[] = [];
  lockedBy: ModelTask | undefined;
  revoked = false;
  released = false;
  readonly polled = { in: false, out: false };

  constructor(machine: ModelMachine, kind: ExporterKind, id: number, calls: string[], failNext: FailNext) {
    this.machine = machine;
    this.kind = kind;
    this.id = id;
    this.#calls = calls;
    this.#failNext = failNext;
    this.file = machine.open('dmabuf', () => {
      this.released = true;
      this.log('release');
    });
  }

  get isDynamic(): boolean {
    return this.kind !== 'static';
  }

  get isHeld(): boolean {
    return this.lockedBy === this.machine.task;
  }

  readonly log = (call: string, attachment?: ModelAttachment): void => {
    const who = attachment === undefined ? '' : ` a${attachment.id}`;
    this.#calls.push(`${call} b${this.id}${who}${this.isHeld ? ' locked' : ''}`);
  };

  /** What the calling task does with the lock held. */
  locked<T>(fn: () => T): T {
    this.lock();
    try {
      return fn();
    } finally {
      this.unlock();
    }
  }

  lock(): void {
    this.lockedBy = this.machine.task;
    this.machine.task.locks++;
  }

  unlock(): void {
    this.resv.unlock();
    this.lockedBy = undefined;
    this.machine.task.locks--;
  }

  requireHeld(): void {
    if (this.isHeld) return;
    this.machine.diag.push('violation resv-not-held');
    fail('EINVAL');
  }

  requireLock(): void {
    if (this.isHeld) return;
    this.machine.diag.push('lockdep not-held');
    fail('EINVAL');
  }

  requireAlive(attachment: ModelAttachment): void {
    if (attachment.alive) return;
    this.machine.diag.push('violation use-after-detach');
    fail('EINVAL');
  }

  attach(importer: ImporterKind, id: number): ModelAttachment {
    const attachment = new ModelAttachment(this, importer, id);
    this.log('attach', attachment);
    this.#failNext.check('attach');
    if (this.kind === 'revocable') {
      if (!attachment.isTold) fail('EOPNOTSUPP');
      if (this.revoked) fail('ENODEV');
    }
    this.attachments.unshift(attachment);
    return attachment;
  }

  detach(attachment: ModelAttachment): boolean {
    const { diag } = this.machine;
    if (attachment.buffer !== this) diag.push('warn dma_buf_detach');
    else if (!attachment.alive) diag.push('violation double-detach');
    else {
      this.attachments = this.attachments.filter((a) => a !== attachment);
      attachment.alive = false;
      this.log('detach', attachment);
      return true;
    }
    return false;
  }

  callPin(attachment: ModelAttachment): void {
    if (!this.isDynamic) return;
    this.log('pin', attachment);
    this.#failNext.check('pin');
    if (this.revoked) fail('ENODEV');
  }

  callMap(attachment: ModelAttachment): void {
    this.log('map', attachment);
    if (this.#failNext.check('map')) fail('ENOMEM');
    if (this.revoked) fail('ENODEV');
  }

  invalidate(): void {
    this.requireHeld();
    for (const attachment of this.attachments.filter((a) => a.isTold)) {
      this.log('invalidate', attachment);
      while (attachment.importer === 'obedient' && attachment.tables > 0) attachment.unmap(true);
    }
  }

  /** Whether a revoke would have to wait for somebody. */
  get isBusy(): boolean {
    const mapped = this.attachments.some((a) => a.tables > 0 && a.importer !== 'obedient');
    return mapped || this.resv.pending(ResvUsage.BOOKKEEP).length > 0;
  }

  revoke(): boolean {
    if (this.revoked) return false;
    this.locked(() => {
      this.revoked = true;
      this.invalidate();
    });
    return true;
  }

  unrevoke(): boolean {
    if (!this.revoked) return false;
    this.locked(() => this.invalidate());
    this.revoked = false;
    return true;
  }

  beginAccess(writes: boolean): void {
    this.#mightLock();
    this.log('begin');
    if (this.resv.pending(writes ? ResvUsage.READ : ResvUsage.WRITE).length > 0) fail('ERESTARTSYS');
  }

  endAccess(): void {
    this.#mightLock();
    this.log('end');
  }

  /** Whether those who want to read (`in`) or write (`out`) need not wait; if they do, a fence tells when. */
  poll(direction: 'in' | 'out'): boolean {
    const { polled, file, machine } = this;
    if (polled[direction]) return false;
    const usage = direction === 'out' ? ResvUsage.READ : ResvUsage.WRITE;
    const fire = (): void => {
      polled[direction] = false;
      machine.put(file);
    };
    const waits = this.resv.pending(usage).some(({ fence }) => (fence as ModelFence).onEnd(fire));
    if (!waits) return true;
    polled[direction] = true;
    file.refs++;
    return false;
  }

  #mightLock(): void {
    if (this.isHeld) this.machine.diag.push('lockdep resv-held');
  }
}
