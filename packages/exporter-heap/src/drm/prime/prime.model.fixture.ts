/** A dma-buf of the model. */
export interface ModelBuf {
  readonly object: ModelObject;
}

/** An object of the model. */
export interface ModelObject {
  readonly device: string;
  /** What it was imported from. */
  readonly imported: ModelBuf | null;
  handles: number;
  /** What it keeps for as long as it has handles. */
  buf: ModelBuf | null;
}

/** An open file of the model. */
export class ModelFile {
  readonly device: string;
  readonly objects = new Map<number, ModelObject>();
  /** The kernel's cache: which buffer has which handle, oldest first. */
  members: { buf: ModelBuf; handle: number }[] = [];

  constructor(device: string) {
    this.device = device;
  }

  add(object: ModelObject): number {
    let handle = 1;
    while (this.objects.has(handle)) handle++;
    this.objects.set(handle, object);
    object.handles++;
    return handle;
  }
}

/** What handles, names and dma-bufs are to each other, without memory, locks or threads. */
export class PrimeModel {
  readonly files: readonly ModelFile[];
  fds: ModelBuf[] = [];
  readonly #objects = new Set<ModelObject>();

  constructor(devices: readonly string[]) {
    this.files = devices.map((device) => new ModelFile(device));
  }

  create(f: number): number {
    return this.files[f]!.add(this.#object(this.files[f]!.device, null));
  }

  close(f: number, handle: number): string | undefined {
    const file = this.files[f]!;
    const object = file.objects.get(handle);
    if (object === undefined) return 'EINVAL';
    this.#forget(file, handle);
    file.objects.delete(handle);
    if (--object.handles === 0) object.buf = null;
    return undefined;
  }

  /** Index of the new descriptor. */
  export(f: number, handle: number): number | string {
    const file = this.files[f]!;
    const object = file.objects.get(handle);
    if (object === undefined) return 'ENOENT';
    const known = file.members.find((member) => member.handle === handle)?.buf;
    const buf = known ?? object.imported ?? object.buf ?? { object };
    if (known === undefined) file.members.push({ buf, handle });
    object.buf ??= buf;
    return this.fds.push(buf) - 1;
  }

  import(f: number, fd: number): number {
    const file = this.files[f]!;
    const buf = this.fds[fd]!;
    const known = file.members.find((member) => member.buf === buf);
    if (known !== undefined) return known.handle;
    const object = buf.object.device === file.device ? buf.object : this.#object(file.device, buf);
    object.buf ??= buf;
    const handle = file.add(object);
    file.members.push({ buf, handle });
    return handle;
  }

  /** Opens by name in `to` what `from`, of the same device, has a handle of. */
  name(from: number, handle: number, to: number): number | string {
    const object = this.files[from]!.objects.get(handle);
    if (object === undefined) return 'ENOENT';
    return this.files[to]!.add(object);
  }

  move(f: number, handle: number, target: number): string | undefined {
    const file = this.files[f]!;
    const object = file.objects.get(handle);
    if (object === undefined) return 'ENOENT';
    if (handle === target) return undefined;
    if (file.objects.has(target)) return 'ENOSPC';
    file.objects.set(target, object);
    if (object.buf !== null) {
      file.members.push({ buf: object.buf, handle: target });
      this.#forget(file, handle);
    }
    file.objects.delete(handle);
    return undefined;
  }

  /** References to the buffer behind a descriptor. */
  count(fd: number): number {
    const buf = this.fds[fd]!;
    const members = this.files.flatMap((file) => file.members).filter((member) => member.buf === buf);
    const keepers = [...this.#objects].filter((object) => object.buf === buf);
    const imports = [...this.#objects].filter((object) => object.imported === buf && object.handles > 0);
    return this.fds.filter((other) => other === buf).length + members.length + keepers.length + imports.length;
  }

  #object(device: string, imported: ModelBuf | null): ModelObject {
    const object: ModelObject = { device, imported, handles: 0, buf: null };
    this.#objects.add(object);
    return object;
  }

  #forget(file: ModelFile, handle: number): void {
    file.members = file.members.filter((member) => member.handle !== handle);
  }
}
