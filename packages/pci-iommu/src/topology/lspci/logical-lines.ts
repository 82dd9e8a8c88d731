import { eachLine, type TextLine } from './text-line.ts';

/** What a line is, as far as it shows by itself and by the line before it. */
export type LineKind =
  /** First line of a device: `00:1c.0 PCI bridge: ...`. */
  | 'header'
  /** What is told about a device. */
  | 'attribute'
  /** Bytes of config space. */
  | 'hex'
  /** Part of a drawing of `lspci -t`. */
  | 'tree'
  /** A shell's prompt with a command, or the command alone. */
  | 'command'
  /** A kernel message with its time. */
  | 'log'
  | 'blank'
  /** Anything else: prose, headings, fences, output of other programs. */
  | 'other';

/** One line of a listing after lines that a mailer wrapped were joined. */
export interface LogicalLine {
  /** Number of its first line in the text, from 1. */
  readonly line: number;
  /** Without leading and trailing blanks; a drawing keeps the leading ones. */
  readonly text: string;
  readonly indented: boolean;
  readonly kind: LineKind;
}

/** No mailer wraps before this column. */
const MIN_WRAP_WIDTH = 60;
/** A longer line is none of `lspci`. */
const MAX_TEXT = 4096;
/** Class names start with a capital, so that prose (`01:00.0 is the card`) is none of a device. */
const HEADER_PATTERN = /^(?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-9a-fA-F] (?:[^a-z\s]|[0-9a-f]{4}: )/u;
const INDENTED_HEADER_PATTERN = /^\S+ [^:]+: \S/u;
const HEX_PATTERN = /^[0-9a-f]{1,2}0:(?: |$)/iu;
const MORE_HEX_PATTERN = /^[0-9a-f]{2}(?: [0-9a-f]{2}){0,15}$/iu;
const TREE_PATTERN = /^[ |*]{0,200}(?:[-+\\]{0,2}-\[[0-9a-f]{2,8}[\]:]|[+\\]-[0-9a-f]{2}\.[0-7])/iu;
const TREE_STARTS = '-+\\|*';
const COMMAND_PATTERN = /^(?:[$#] ?\S|\[\S+@|\S+@\S+[:$#])|^(?:sudo )?(?:\/\S*\/)?lspci\b/u;
const LOG_PATTERN = /^(?:<\d{1,2}>)?\[ {0,8}\d{1,9}\.\d{1,9}\] |^[A-Z][a-z]{2} [ \d]\d [\d:]{8} \S+ kernel: /u;
const ATTRIBUTE_PATTERN = /^(?:\[virtual\] )?(?:[A-Z][\w/ -]{1,30}:|Memory at |I\/O ports at |Expansion ROM at )/u;

/**
 * Cuts a listing into lines of known kind. A line that a mailer wrapped is joined to the one before it; blanks before the
 * lines of a device may be missing.
 */
export function logicalLines(text: string): readonly LogicalLine[] {
  const result: LogicalLine[] = [];
  let before: TextLine | null = null;
  eachLine(text, (raw) => {
    const last = result.at(-1);
    const line = classify(raw, last);
    const wrapped = last !== undefined && before !== null && continues(line, raw, last, before);
    if (wrapped) result[result.length - 1] = { ...last, text: `${last.text} ${line.text}` };
    else result.push(line);
    before = raw;
  });
  return result;
}

function classify(raw: TextLine, last: LogicalLine | undefined): LogicalLine {
  const { line } = raw;
  const indented = raw.indent > 0;
  const text = raw.text.length > MAX_TEXT ? raw.text.slice(0, MAX_TEXT) : raw.text;
  const kind = kindOf(text, indented, last);
  return { line, text: kind === 'tree' ? ' '.repeat(Math.min(raw.indent, MAX_TEXT)) + text : text, indented, kind };
}

function kindOf(text: string, indented: boolean, last: LogicalLine | undefined): LineKind {
  if (text === '') return 'blank';
  if (HEADER_PATTERN.test(text) && (!indented || INDENTED_HEADER_PATTERN.test(text))) return 'header';
  if (HEX_PATTERN.test(text)) return 'hex';
  if (TREE_STARTS.includes(text.charAt(0)) && TREE_PATTERN.test(text)) return 'tree';
  if (LOG_PATTERN.test(text)) return 'log';
  if (COMMAND_PATTERN.test(text)) return 'command';
  if (indented) return 'attribute';
  // In a listing that lost its blanks the lines of a capability follow without any mark.
  if (last?.kind === 'attribute' && !last.indented && !text.startsWith('`')) return 'attribute';
  const inDevice = last?.kind === 'header' || last?.kind === 'attribute';
  return inDevice && ATTRIBUTE_PATTERN.test(text) ? 'attribute' : 'other';
}

function continues(line: LogicalLine, raw: TextLine, last: LogicalLine, before: TextLine): boolean {
  if (last.text.length + line.text.length > MAX_TEXT) return false;
  if (last.kind === 'hex') return MORE_HEX_PATTERN.test(line.text) && last.text.length < FULL_HEX_LENGTH;
  if ((line.kind !== 'other' && line.kind !== 'attribute') || IO_MEMORY_PATTERN.test(line.text)) return false;
  const firstWord = line.text.indexOf(' ') < 0 ? line.text.length : line.text.indexOf(' ');
  const full = before.width + 1 + firstWord > MIN_WRAP_WIDTH;
  if (last.kind === 'log') return full;
  if (line.indented || (last.kind !== 'header' && last.kind !== 'attribute')) return false;
  return line.kind === 'other' ? before.flowed || full : before.flowed && full;
}

/** A line of /proc/iomem is never what a mailer broke off. */
const IO_MEMORY_PATTERN = /^[0-9a-f]{8,16}-[0-9a-f]{8,16} : /iu;
/** `00: ` and 16 bytes. */
const FULL_HEX_LENGTH = 51;
