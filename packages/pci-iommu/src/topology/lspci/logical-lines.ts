/** One line of a listing after lines that a mailer wrapped were joined. */
export interface LogicalLine {
  /** Number of its first line in the text, from 1. */
  readonly line: number;
  /** Without leading and trailing blanks. */
  readonly text: string;
  /** Width of the leading blanks; a tab reaches the next multiple of 8. */
  readonly indent: number;
  readonly kind: 'header' | 'hex' | 'attribute' | 'break';
}

const TAB_WIDTH = 8;
const HEADER_PATTERN = /^(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f] \S/iu;
const HEX_PATTERN = /^[0-9a-f]{1,2}0:(?: |$)/iu;
const COMMAND_PATTERN = /^(?:[$#>`]|\[\S+@|\S+@\S+[:$#])|\blspci\b/u;

/**
 * Cuts a listing into lines of known kind. Text that is neither a device header, nor a hex line, nor indented continues
 * the line before it (mailers wrap long lines); blank lines and shell commands end a device.
 */
export function logicalLines(text: string): readonly LogicalLine[] {
  const result: LogicalLine[] = [];
  text.split('\n').forEach((raw, index) => {
    const line = classify(raw.trimEnd(), index + 1);
    const last = result.at(-1);
    if (line.kind === 'break' && line.text !== '' && last !== undefined && isJoinable(last) && !isCommand(line.text)) {
      result[result.length - 1] = { ...last, text: `${last.text} ${line.text}` };
      return;
    }
    result.push(line);
  });
  return result;
}

function classify(raw: string, line: number): LogicalLine {
  const text = raw.trimStart();
  const indent = widthOf(raw.slice(0, raw.length - text.length));
  if (text === '') return { line, text, indent: 0, kind: 'break' };
  if (indent > 0) return { line, text, indent, kind: 'attribute' };
  if (HEADER_PATTERN.test(text)) return { line, text, indent, kind: 'header' };
  if (HEX_PATTERN.test(text)) return { line, text, indent, kind: 'hex' };
  return { line, text, indent, kind: 'break' };
}

function isJoinable(last: LogicalLine): boolean {
  return last.kind === 'header' || last.kind === 'attribute';
}

function isCommand(text: string): boolean {
  return COMMAND_PATTERN.test(text);
}

function widthOf(blanks: string): number {
  let width = 0;
  for (const blank of blanks) width = blank === '\t' ? (Math.floor(width / TAB_WIDTH) + 1) * TAB_WIDTH : width + 1;
  return width;
}
