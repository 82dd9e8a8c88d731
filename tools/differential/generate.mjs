// Random scenarios in the .scn language: each is a small program over dma-bufs, fences and the files around them.
import { OPERATIONS } from './operations.mjs';
import { Random } from './random.mjs';

/** Share of arguments that name a variable of a wrong kind, or one that is closed, or none at all. */
const WRONG = 0.06;
const CLOSED_FD = '-1';

class ScenarioWriter {
  #random;
  #lines = [];
  /** Variables in order of birth. */
  #vars = [];
  #count = 0;

  constructor(random) {
    this.#random = random;
  }

  text(id, steps) {
    let family = this.#random.pick(['heap', 'udmabuf', 'vgem', 'fences']);
    this.#start(family);
    while (this.#lines.length < steps) this.#step();
    return [`scenario ${id}`, ...this.#lines, ''].join('\n');
  }

  /** A scenario begins with something to work on. */
  #start(family) {
    if (family === 'heap') {
      this.#emit('open path=/dev/dma_heap/system', {}, 'heap');
      this.#emit('heap_alloc', { dev: '$v0', len: '2P' }, 'dmabuf');
    } else if (family === 'udmabuf') {
      this.#emit('open path=/dev/udmabuf', {}, 'udmabuf');
      this.#emit('memfd', { size: '2P', seals: 'SHRINK' }, 'memfd');
      this.#emit('udmabuf_create', { dev: '$v0', memfd: '$v1', size: '2P' }, 'dmabuf');
    } else if (family === 'vgem') {
      this.#emit('drm_open driver=vgem', {}, 'drm');
      this.#emit('dumb_create', { drm: '$v0', w: '64', h: '32', bpp: '32' }, 'handle');
      this.#emit('prime_export', { drm: '$v0', handle: '$v1' }, 'dmabuf');
    }
    if (family === 'fences' || this.#random.chance(0.5)) {
      const timeline = this.#emit('sw_open', {}, 'timeline');
      this.#emit('sw_fence', { tl: timeline, value: '1' }, 'sync');
    }
  }

  #step() {
    const possible = Object.entries(OPERATIONS).filter(([, { needs = [] }]) =>
      needs.every((kinds) => kinds.split('|').some((kind) => this.#vars.some((v) => v.kind === kind))),
    );
    let at = this.#random.below(possible.reduce((sum, [, { weight }]) => sum + weight, 0));
    const [name, operation] = possible.find(([, { weight }]) => (at -= weight) < 0);
    const args = {};
    let source;
    for (const [key, spec] of Object.entries(operation.args ?? {})) {
      if (spec === 'items') args[key] = this.#items();
      else if (spec.kinds !== undefined) {
        const variable = this.#variable(spec.kinds, operation.strict);
        source ??= variable;
        args[key] = variable === undefined ? CLOSED_FD : `$${variable.name}`;
      } else if (!spec.optional || this.#random.chance(0.25)) args[key] = this.#random.pick(spec.values);
    }
    // A buffer with unsignalled fences makes START wait; END never does.
    if (operation.quiet && this.#waits(source) && !args.flags.includes('END')) args.flags += '|END';
    // Numbers of handles and objects have no closed form: only descriptors may be -1.
    const kind = operation.makes === 'same' ? source?.kind : operation.makes;
    this.#emit(name, args, kind);
    if (name === 'import_sync' || name === 'vgem_attach') this.#fenced = true;
    if (operation.ends !== undefined && source !== undefined) source.closed = true;
  }

  #fenced = false;

  #waits() {
    return this.#fenced;
  }

  #variable(kinds, strict = false) {
    const random = this.#random;
    const wrong = random.chance(WRONG) && !strict;
    const fits = this.#vars.filter((v) =>
      wrong ? FD_KINDS.has(v.kind) === FD_KINDS.has(kinds[0]) : kinds.includes(v.kind) && !v.closed,
    );
    const isMap = kinds[0] === 'map';
    const usable = isMap ? fits.filter((v) => v.kind === 'map' && !v.closed) : fits.filter((v) => v.kind !== 'map');
    if (usable.length > 0) return random.pick(usable);
    return strict ? undefined : this.#vars.findLast((v) => kinds.includes(v.kind));
  }

  #items() {
    const random = this.#random;
    const count = 1 + random.below(3);
    return Array.from({ length: count }, () => {
      const memfd = this.#variable(['memfd']);
      const size = random.pick(['1P', '1P', '1P', '2P', '0', '100']);
      return `${memfd === undefined ? CLOSED_FD : `$${memfd.name}`}:${random.pick(['0', '0', '1P', '1'])}:${size}`;
    }).join(',');
  }

  #emit(name, args, kind) {
    const [op, ...fixed] = name.split(' ');
    const words = [op, ...fixed, ...Object.entries(args).map(([key, value]) => `${key}=${value}`)];
    if (kind === undefined) {
      this.#lines.push(words.join(' '));
      return undefined;
    }
    const variable = `v${this.#count++}`;
    this.#vars.push({ name: variable, kind, closed: false });
    this.#lines.push(`${variable} = ${words.join(' ')}`);
    return `$${variable}`;
  }
}

const FD_KINDS = new Set(['dmabuf', 'sync', 'memfd', 'timeline', 'heap', 'udmabuf', 'drm', 'epoll', 'eventfd']);

/** `count` scenarios from `seed`; number `n` is the same whatever `count` is. */
export function generate(seed, count, first = 0) {
  return Array.from({ length: count }, (_, i) => {
    const n = first + i;
    const random = new Random(seed * 0x9e3779b1 + n * 0x85ebca6b);
    return new ScenarioWriter(random).text(`random.${seed}.${n}`, 6 + random.below(18));
  });
}
