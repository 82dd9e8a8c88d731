import type { IommuDomain } from '../iommu/iommu-domain.ts';

/** The translations that one access used, so that it can be seen afterwards whether they were still in force. */
export class TranslationLog {
  readonly #pages: number[] = [];
  readonly #entries: number[] = [];
  #count = 0;
  #domain: IommuDomain | null = null;
  #sequence = 0;

  clear(): void {
    this.#count = 0;
    this.#domain = null;
  }

  /** An access goes through `domain`. */
  begin(domain: IommuDomain): void {
    if (this.#domain !== null) return;
    this.#domain = domain;
    this.#sequence = domain.iotlb?.sequenceSeen ?? 0;
  }

  add(page: number, entry: number): void {
    this.#pages[this.#count] = page;
    this.#entries[this.#count] = entry;
    this.#count++;
  }

  /** The first page whose translation is another one now; -1 when nothing was invalidated or none of these. */
  firstChanged(): number {
    const domain = this.#domain;
    if (domain === null || domain.iotlb?.sequenceSeen === this.#sequence) return -1;
    for (let i = 0; i < this.#count; i++) {
      const entry = this.#entries[i]!;
      if (entry !== 0 && domain.walk(this.#pages[i]!) !== entry) return this.#pages[i]!;
    }
    return -1;
  }
}
