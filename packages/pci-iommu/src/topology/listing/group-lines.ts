import { type Bdf, formatBdf, tryParseBdf } from '../bdf.ts';
import type { LogicalLine } from '../lspci/logical-lines.ts';

/** In which words a line tells a group; each form is a listing of its own. */
type GroupForm = 'heading' | 'attribute' | 'message' | 'path';

/** One function and the group that a line puts it in. */
export interface GroupEntry {
  readonly line: number;
  readonly bdf: Bdf;
  readonly group: number;
  readonly form: GroupForm;
  /** Number of the listing: prose and commands end one. */
  readonly listing: number;
}

const NAME = String.raw`(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]`;
const ATTRIBUTE_PATTERN = /^(?:Flags: .*, )?IOMMU group:? (\d+)$|^Flags: .*, IOMMU group (\d+)\b/u;
const MESSAGE_WORDS = /Adding (?:to iommu|device)/u;
const MESSAGE_PATTERN = new RegExp(
  String.raw`\b(${NAME}): Adding to iommu group (\d+)|\bAdding device (${NAME}) to (?:iommu )?group (\d+)`,
  'iu',
);
const PATH_PATTERN = new RegExp(
  String.raw`iommu_groups/(\d+)/devices/(${NAME})|\b(${NAME})/iommu_group\b.*iommu_groups/(\d+)`,
  'iu',
);
const HEADING_PATTERN = /^\W{0,8}(?:IOMMU[ _-]?)?group\W{1,8}(\d+)\b/iu;
const NAME_PATTERN = new RegExp(String.raw`(?:^|[\s*])(${NAME})(?=[\s*]|$)`, 'iu');
const HEADER_NAME = new RegExp(String.raw`^(${NAME}) `, 'iu');

/** All functions that lines put into groups, in the order of the lines. */
export function groupEntries(lines: readonly LogicalLine[]): readonly GroupEntry[] {
  const reader = new GroupLines();
  for (const line of lines) reader.take(line);
  return reader.entries;
}

class GroupLines {
  readonly entries: GroupEntry[] = [];
  #heading: number | null = null;
  #device: string | null = null;
  #listing = 0;
  /** A blank line came after the last function below the heading. */
  #isEnding = false;

  take(line: LogicalLine): void {
    if (line.kind === 'blank') {
      this.#device = null;
      this.#isEnding = true;
      return;
    }
    if (line.kind === 'hex' || line.kind === 'tree') return;
    if (line.kind === 'header') {
      this.#takeHeader(line);
      return;
    }
    const attribute = line.kind === 'attribute' ? ATTRIBUTE_PATTERN.exec(line.text) : null;
    if (attribute !== null && this.#device !== null) {
      this.#put(line, this.#device, attribute[1] ?? attribute[2], 'attribute');
      return;
    }
    const message = MESSAGE_WORDS.test(line.text) ? MESSAGE_PATTERN.exec(line.text) : null;
    if (message !== null) {
      this.#put(line, message[1] ?? message[3], message[2] ?? message[4], 'message');
      return;
    }
    const path = line.text.includes('iommu_groups') ? PATH_PATTERN.exec(line.text) : null;
    if (path !== null) {
      this.#put(line, path[2] ?? path[3], path[1] ?? path[4], 'path');
      return;
    }
    this.#takeRest(line);
  }

  #takeHeader(line: LogicalLine): void {
    this.#device = HEADER_NAME.exec(line.text)?.[1] ?? null;
    if (this.#isEnding) this.#heading = null;
    if (this.#heading !== null) this.#put(line, this.#device, String(this.#heading), 'heading');
  }

  /** Headings, and lines of columns below them; prose and commands end a group. */
  #takeRest(line: LogicalLine): void {
    const heading = HEADING_PATTERN.exec(line.text)?.[1];
    if (heading !== undefined) {
      this.#heading = Number(heading);
      this.#isEnding = false;
    } else if (line.kind === 'command') this.#heading = null;
    if (heading === undefined && line.kind !== 'attribute') this.#listing++;
    if (this.#heading === null || this.#isEnding || this.#device !== null) return;
    const name = NAME_PATTERN.exec(line.text)?.[1];
    if (name !== undefined) this.#put(line, name, String(this.#heading), 'heading');
  }

  #put(line: LogicalLine, name: string | null | undefined, group: string | undefined, form: GroupForm): void {
    const parts = name === null || name === undefined ? undefined : tryParseBdf(name);
    const id = Number(group);
    if (parts === undefined || !Number.isSafeInteger(id)) return;
    this.entries.push({ line: line.line, bdf: formatBdf(parts), group: id, form, listing: this.#listing });
  }
}
