import type { BarRange } from '../memory/memory-region.ts';
import type { TopologyFunction } from '../topology/index.ts';
import type { DmaBus, Route } from './dma-bus.ts';
import type { FaultGrant, FaultKind } from './fault-record.ts';

const REMEMBERED = 4;

/** One stretch of an access that reached the same BAR. */
interface Stretch {
  bar: BarRange;
  address: number;
  paddr: number;
  length: number;
  route: Route;
}

/**
 * Asks, for what one access does to other functions' BARs, whether a live mapping allows it. Grants found are remembered, so
 * that an engine that works on one buffer asks the shared table once.
 */
export class MmioCheck {
  readonly #bus: DmaBus;
  readonly #fn: TopologyFunction;
  readonly #stretches: Stretch[] = [];
  readonly #grants = new Int32Array(REMEMBERED);
  #next = 0;
  #count = 0;
  #write = false;
  #generation = 0;
  #noted = false;

  constructor(bus: DmaBus, fn: TopologyFunction) {
    this.#bus = bus;
    this.#fn = fn;
  }

  /** A new access begins. */
  begin(write: boolean): void {
    this.#write = write;
    this.#count = 0;
    this.#noted = false;
  }

  /** The access reaches `length` bytes of a BAR of another function. */
  add(bar: BarRange, address: number, paddr: number, length: number, route: Route): void {
    if (this.#count === 0) this.#generation = this.#bus.grants.generation(this.#fn.index);
    const last = this.#stretches[this.#count - 1];
    if (this.#count > 0 && last !== undefined && last.bar === bar && last.route === route) {
      if (last.address + last.length === address && last.paddr + last.length === paddr) {
        last.length += length;
        return;
      }
    }
    const reused = this.#stretches[this.#count];
    if (reused === undefined) this.#stretches.push({ bar, address, paddr, length, route });
    else Object.assign(reused, { bar, address, paddr, length, route });
    this.#count++;
  }

  /** Checks everything that was added. */
  check(): void {
    for (let i = 0; i < this.#count; i++) this.#checkStretch(this.#stretches[i]!, '');
  }

  /** Checks again if any grant of the requester changed since. */
  recheck(): void {
    if (this.#count === 0 || this.#noted) return;
    if (this.#bus.grants.generation(this.#fn.index) === this.#generation) return;
    for (let i = 0; i < this.#count; i++) this.#checkStretch(this.#stretches[i]!, ' during the access');
  }

  /** Whose buffer an address of this requester is or was last. */
  blame(address: number, length: number): FaultGrant | undefined {
    const { grants } = this.#bus;
    const { grant } = grants.find(this.#fn.index, address);
    return (grant === 0 ? undefined : grants.describe(grant)) ?? grants.graves.find(this.#fn.index, address, length);
  }

  #checkStretch(stretch: Stretch, when: string): void {
    const { grants } = this.#bus;
    const end = stretch.address + stretch.length;
    for (let i = 0; i < REMEMBERED; i++) {
      const grant = this.#grants[i]!;
      if (grant !== 0 && grants.stillAllows(grant, stretch.address, stretch.length)) return;
    }
    for (let at = stretch.address; at < end;) {
      const hit = grants.find(this.#fn.index, at);
      const bytes = Math.min(end, hit.end) - at;
      if (hit.grant !== 0 && !hit.retired) {
        this.#grants[this.#next] = hit.grant;
        this.#next = (this.#next + 1) % REMEMBERED;
      } else if (hit.grant !== 0) {
        const kind = this.#write ? 'write-after-fence' : 'use-after-revoke';
        this.#note(
          kind,
          stretch,
          at,
          bytes,
          `mapping given up and fences signalled${when}`,
          grants.describe(hit.grant),
        );
      } else if (
        stretch.route !== 'iommu' &&
        stretch.route !== 'peer' &&
        grants.exported.overlaps(stretch.paddr + at - stretch.address, bytes)
      ) {
        const reason = `no mapping of this device${when}`;
        this.#note('use-after-revoke', stretch, at, bytes, reason, grants.graves.find(this.#fn.index, at, bytes));
      }
      at += bytes;
    }
  }

  #note(
    kind: FaultKind,
    stretch: Stretch,
    address: number,
    length: number,
    reason: string,
    grant: FaultGrant | undefined,
  ): void {
    this.#noted = true;
    this.#bus.faults.record({
      kind,
      requester: this.#fn.index,
      address,
      length,
      write: this.#write,
      reason,
      target: stretch.bar.fn.index,
      bar: stretch.bar.bar,
      ...(grant === undefined ? {} : { grant }),
    });
  }
}
