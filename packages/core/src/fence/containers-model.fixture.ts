/*
 * Fences, arrays and chains of one thread by the book, core §3.14 to §3.16: plain objects, no references, no locks. What the
 * kernel does from irq_work happens when the outermost step is over.
 */

let depth = 0;
const later: (() => void)[] = [];

function inside<T>(fn: () => T): T {
  depth++;
  const result = fn();
  depth--;
  if (depth === 0) for (let work = later.shift(); work !== undefined; work = later.shift()) work();
  return result;
}

export class ModelFence {
  readonly context: number;
  readonly seqno: number;
  signaled = false;
  error = 0;
  stampNs = 0;
  #enabled = false;
  #waiters: (() => void)[] = [];

  constructor(context: number, seqno: number) {
    this.context = context;
    this.seqno = seqno;
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  /** What the driver knows. */
  poll(): boolean {
    return false;
  }

  /** Somebody waits from now on; false: it is over already. */
  arm(): boolean {
    return true;
  }

  isSignaled(): boolean {
    if (!this.signaled && this.poll()) this.end();
    return this.signaled;
  }

  enable(): boolean {
    return inside(() => {
      const was = this.#enabled;
      this.#enabled = true;
      if (this.signaled) return false;
      if (was || this.arm()) return true;
      this.end();
      return false;
    });
  }

  onEnd(fn: () => void): boolean {
    return inside(() => {
      if (this.signaled || !this.enable()) return false;
      this.#waiters.push(fn);
      return true;
    });
  }

  end(error = 0, stampNs = 0): void {
    if (this.signaled) return;
    if (error !== 0) this.error = error;
    this.stampNs = stampNs;
    this.signaled = true;
    inside(() => this.#waiters.splice(0).forEach((waiter) => waiter()));
  }

  leaves(): ModelFence[] {
    return [this];
  }
}

export class ModelArray extends ModelFence {
  readonly members: readonly ModelFence[];
  #pending: number;
  #noted = 0;

  constructor(context: number, members: readonly ModelFence[], any: boolean) {
    super(context, 1);
    this.members = members;
    this.#pending = any ? 1 : members.length;
  }

  override poll(): boolean {
    let left = this.#pending;
    const done = this.enabled ? left <= 0 : this.members.some((member) => member.isSignaled() && --left === 0);
    if (done) this.error = this.#noted;
    return done;
  }

  override arm(): boolean {
    for (const member of this.members) {
      if (member.onEnd(() => this.#count(member) && later.push(() => this.end(this.#noted)))) continue;
      if (this.#count(member)) {
        this.error = this.#noted;
        return false;
      }
    }
    return true;
  }

  override leaves(): ModelFence[] {
    return [...this.members];
  }

  #count(member: ModelFence): boolean {
    this.#noted ||= member.error;
    return --this.#pending === 0;
  }
}

export class ModelChain extends ModelFence {
  readonly fence: ModelFence;
  readonly prevSeqno: number;
  #prev: ModelFence | undefined;

  /** @param fresh a context that is used where a timeline starts */
  constructor(prev: ModelFence | undefined, fence: ModelFence, seqno: number, fresh: number) {
    const before = prev instanceof ModelChain ? prev : undefined;
    const follows = before !== undefined && seqno > before.seqno;
    super(follows ? before.context : fresh, Math.max(seqno, before?.seqno ?? 0));
    this.prevSeqno = follows ? before.seqno : 0;
    this.fence = fence;
    this.#prev = prev;
  }

  /** This node and what is left of those before. */
  *nodes(): Generator<ModelFence> {
    yield this;
    for (let node = this.#walk(); node !== undefined; node = node instanceof ModelChain ? node.#walk() : undefined) {
      yield node;
    }
  }

  override poll(): boolean {
    for (const node of this.nodes()) if (!contained(node).isSignaled()) return false;
    return true;
  }

  override arm(): boolean {
    for (const node of this.nodes()) if (contained(node).onEnd(() => later.push(() => this.#goOn()))) return true;
    return false;
  }

  override leaves(): ModelFence[] {
    return [...this.nodes()].flatMap((node) => contained(node).leaves());
  }

  /** The node that stands for a point; null when the chain does not reach that far. */
  find(seqno: number): ModelFence | undefined | null {
    if (seqno === 0) return this;
    if (this.seqno < seqno) return null;
    for (const node of this.nodes()) {
      if (node.context !== this.context || (node as ModelChain).prevSeqno < seqno) return node;
    }
    return undefined;
  }

  #goOn(): void {
    if (!inside(() => this.arm())) this.end();
  }

  #walk(): ModelFence | undefined {
    while (this.#prev !== undefined && contained(this.#prev).isSignaled()) {
      this.#prev = this.#prev instanceof ModelChain ? this.#prev.#prev : undefined;
    }
    return this.#prev;
  }
}

function contained(node: ModelFence): ModelFence {
  return node instanceof ModelChain ? node.fence : node;
}

/** What a merge gives: the fences of an array, the one fence, or the time stamp of a signalled one. */
export function mergeModels(heads: readonly ModelFence[]): ModelFence[] | number {
  const leaves = heads.flatMap((head) => head.leaves());
  const pending = leaves.filter((leaf) => !leaf.isSignaled());
  if (pending.length === 0) return leaves.reduce((latest, leaf) => Math.max(latest, leaf.stampNs), 0);
  const latest = new Map<number, ModelFence>();
  for (const leaf of pending) {
    const other = latest.get(leaf.context);
    if (other === undefined || leaf.seqno > other.seqno) latest.set(leaf.context, leaf);
  }
  return [...latest.values()].toSorted((a, b) => a.context - b.context);
}
