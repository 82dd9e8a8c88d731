import { formatBdf, tryParseBdf } from '../bdf.ts';
import type { LogicalLine } from '../lspci/logical-lines.ts';
import { classOfName } from '../lspci/named-ids.ts';
import { type RawFunction, unknownFunction } from '../lspci/raw-function.ts';

const COLUMN_PATTERN =
  /^(?:Group +\d+:? +)?\[([0-9a-f]{4}):([0-9a-f]{4})\] +(?:\[R\] +)?((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) +(\S.*?) {2,}(\S.*)$/iu;
const ONE_LINE_PATTERN =
  /^\W{0,8}(?:IOMMU[ _-]?)?group\W{1,8}\d+\W{1,8}((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7] .*)$/iu;

/** Functions of group listings in columns: `Group 0: [1022:14da] [R] 00:01.0  Host bridge   Name`. */
export function columnFunctions(lines: readonly LogicalLine[]): readonly RawFunction[] {
  return lines.flatMap((line) => {
    const match = line.kind === 'attribute' || line.kind === 'other' ? COLUMN_PATTERN.exec(line.text) : null;
    const parts = tryParseBdf(match?.[3] ?? '');
    if (match === null || parts === undefined) return [];
    const className = (match[4] ?? '').trim();
    const shortClass = classOfName(className);
    return [
      {
        ...unknownFunction(formatBdf(parts), line.line),
        vendor: Number.parseInt(match[1] ?? '', 16),
        device: Number.parseInt(match[2] ?? '', 16),
        class: shortClass === null ? null : shortClass * 0x100,
        className,
        deviceName: match[5] ?? '',
      },
    ];
  });
}

/** Lines of `IOMMU Group 3 00:02.0 VGA compatible controller: ...` as the first lines of devices that they end with. */
export function withoutGroupPrefix(line: LogicalLine): LogicalLine {
  if (line.kind !== 'other' && line.kind !== 'attribute') return line;
  const header = ONE_LINE_PATTERN.exec(line.text)?.[1];
  return header === undefined || !header.includes(': ') ? line : { ...line, text: header, kind: 'header' };
}
