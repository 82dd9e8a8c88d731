import { atomicAdd, i32, type Machine, ref, struct, u53, words } from '@dmabuf-emu/shm';
import { FAULT_KINDS, type FaultInfo, type FaultKind, type FaultRecord } from './fault-record.ts';

const RECORDS = 1024;

const LogStruct = struct('pci.fault_log', { next: i32(), counts: words(FAULT_KINDS.length) });

const RecordStruct = struct('pci.fault', {
  /** Sequence number plus one; 0 while the record is being written. */
  stamp: i32(),
  kind: i32(),
  requester: i32(),
  write: i32(),
  task: i32(),
  reason: i32(),
  target: i32(),
  bar: i32(),
  dmabuf: ref(),
  attachment: ref(),
  ino: i32(),
  exporter: i32(),
  importer: i32(),
  address: u53(),
  length: u53(),
});
const R = RecordStruct;

/**
 * Faults of the machine's devices, written and read by any thread. Counts are exact; the log keeps the newest
 * {@link RECORDS} records.
 */
export class FaultLog {
  readonly #machine: Machine;
  readonly #head: number;
  readonly #ring: number;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#head = machine.root('pci.fault-log', LogStruct.$words);
    this.#ring = machine.root('pci.faults', RECORDS * R.$words);
  }

  /** Adds a fault and returns it as the log keeps it. */
  record(info: FaultInfo): FaultRecord {
    const { mem } = this.#machine;
    const kind = FAULT_KINDS.indexOf(info.kind);
    const seq = LogStruct.next.add(mem, this.#head, 1);
    const p = this.#ring + (seq % RECORDS) * R.$words;
    R.stamp.store(mem, p, 0);
    R.kind.set(mem, p, kind);
    R.requester.set(mem, p, info.requester);
    R.write.set(mem, p, info.write ? 1 : 0);
    R.task.set(mem, p, this.#machine.tid);
    R.reason.set(mem, p, this.#machine.intern(info.reason));
    R.target.set(mem, p, info.target ?? -1);
    R.bar.set(mem, p, info.bar ?? -1);
    R.dmabuf.set(mem, p, info.grant?.dmabuf ?? 0);
    R.attachment.set(mem, p, info.grant?.attachment ?? 0);
    R.ino.set(mem, p, info.grant?.ino ?? 0);
    R.exporter.set(mem, p, info.grant === undefined ? 0 : this.#machine.intern(info.grant.exporter));
    R.importer.set(mem, p, info.grant === undefined ? 0 : this.#machine.intern(info.grant.importer));
    R.address.set(mem, p, info.address);
    R.length.set(mem, p, info.length);
    R.stamp.store(mem, p, seq + 1);
    atomicAdd(mem, this.#head + LogStruct.counts.at + kind, 1);
    return { ...info, seq, task: this.#machine.tid };
  }

  /** Faults of one kind, or of all, since the machine was made or {@link clear} was called. */
  count(kind?: FaultKind): number {
    const { mem } = this.#machine;
    const of = (index: number): number => LogStruct.counts.get(mem, this.#head, index);
    return kind === undefined ? FAULT_KINDS.reduce((sum, _, i) => sum + of(i), 0) : of(FAULT_KINDS.indexOf(kind));
  }

  /** Counts of every kind that occurred. */
  counts(): Partial<Record<FaultKind, number>> {
    return Object.fromEntries(FAULT_KINDS.map((kind) => [kind, this.count(kind)] as const).filter(([, n]) => n > 0));
  }

  /** Records that were pushed out by newer ones. */
  get lost(): number {
    return Math.max(0, LogStruct.next.load(this.#machine.mem, this.#head) - RECORDS);
  }

  /** The records that the log still holds, oldest first. */
  list(): FaultRecord[] {
    const end = LogStruct.next.load(this.#machine.mem, this.#head);
    const records: FaultRecord[] = [];
    for (let seq = Math.max(0, end - RECORDS); seq < end; seq++) {
      const record = this.#read(seq);
      if (record !== null) records.push(record);
    }
    return records;
  }

  /** Forgets everything. Only on a quiet machine. */
  clear(): void {
    const { mem } = this.#machine;
    mem.i32.fill(0, this.#ring, this.#ring + RECORDS * R.$words);
    mem.i32.fill(0, this.#head, this.#head + LogStruct.$words);
  }

  #read(seq: number): FaultRecord | null {
    const { mem } = this.#machine;
    const p = this.#ring + (seq % RECORDS) * R.$words;
    if (R.stamp.load(mem, p) !== seq + 1) return null;
    const dmabuf = R.dmabuf.get(mem, p);
    const record: FaultRecord = {
      seq,
      kind: FAULT_KINDS[R.kind.get(mem, p)]!,
      requester: R.requester.get(mem, p),
      write: R.write.get(mem, p) === 1,
      task: R.task.get(mem, p),
      reason: this.#machine.string(R.reason.get(mem, p)),
      target: R.target.get(mem, p),
      bar: R.bar.get(mem, p),
      address: R.address.get(mem, p),
      length: R.length.get(mem, p),
      ...(dmabuf === 0 ? {} : { grant: this.#grant(p) }),
    };
    return R.stamp.load(mem, p) === seq + 1 ? record : null;
  }

  #grant(p: number): NonNullable<FaultInfo['grant']> {
    const { mem } = this.#machine;
    return {
      dmabuf: R.dmabuf.get(mem, p),
      attachment: R.attachment.get(mem, p),
      ino: R.ino.get(mem, p),
      exporter: this.#machine.string(R.exporter.get(mem, p)),
      importer: this.#machine.string(R.importer.get(mem, p)),
    };
  }
}
