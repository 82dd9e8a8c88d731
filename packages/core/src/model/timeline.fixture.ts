import { ModelFence } from '../fence/containers-model.fixture.ts';

const ENOENT = -2;

/** A timeline that is moved on by hand, core §4. */
export class ModelTimeline {
  /** Known once it has a fence. */
  context = 0;
  value = 0;
  /** Points that were not reached, lowest first. */
  points: ModelFence[] = [];

  createPoint(seqno: number): ModelFence {
    const point = new ModelFence(this.context, seqno);
    if (seqno <= this.value) point.end();
    else this.points = [...this.points, point].toSorted((a, b) => a.seqno - b.seqno);
    return point;
  }

  inc(by: number): void {
    this.value += by;
    const reached = this.points.filter(({ seqno }) => seqno <= this.value);
    this.points = this.points.filter(({ seqno }) => seqno > this.value);
    for (const point of reached) point.end();
  }

  abandon(): void {
    for (const point of this.points.splice(0)) point.end(ENOENT);
  }
}
