import type {
  ConfigDescription,
  MsiDescription,
  MsixDescription,
  ResizableBarDescription,
} from './capability-descriptions.ts';
import { parseConfigRuns } from './config-runs.ts';
import { FieldReader } from './field-reader.ts';

const MAX_BAR_INDEX = 5;
const MAX_MSI_VECTORS = 32;
const MAX_MSIX_VECTORS = 2048;
const MAX_32_BITS = 0xffff_ffff;
const MIN_RESIZABLE_BYTES = 2 ** 20;
const CONFIG_BYTES = 4096;

export function readMsi(value: unknown, path: string): MsiDescription {
  const reader = new FieldReader(value, path);
  const vectors = reader.whole('vectors', MAX_MSI_VECTORS);
  if (!isPowerOfTwo(vectors)) reader.fail('vectors', 'a power of two up to 32');
  const msi = { vectors, wide: reader.flag('wide'), maskable: reader.flag('maskable') };
  reader.end();
  return msi;
}

export function readMsix(value: unknown, path: string): MsixDescription {
  const reader = new FieldReader(value, path);
  const place = (field: 'offset' | 'pbaOffset'): number => {
    const offset = reader.whole(field, MAX_32_BITS);
    return offset % 8 === 0 ? offset : reader.fail(field, 'a multiple of 8');
  };
  const vectors = reader.whole('vectors', MAX_MSIX_VECTORS);
  if (vectors === 0) reader.fail('vectors', 'at least 1');
  const msix = {
    vectors,
    bar: reader.whole('bar', MAX_BAR_INDEX),
    offset: place('offset'),
    pbaBar: reader.whole('pbaBar', MAX_BAR_INDEX),
    pbaOffset: place('pbaOffset'),
  };
  reader.end();
  return msix;
}

export function readResizableBar(value: unknown, path: string): ResizableBarDescription {
  const reader = new FieldReader(value, path);
  const bar = reader.whole('bar', MAX_BAR_INDEX);
  const sizes = reader.list('sizes').map((size) => {
    const bytes = typeof size === 'string' ? Number(size) : size;
    if (typeof bytes === 'number' && bytes >= MIN_RESIZABLE_BYTES && isPowerOfTwo(bytes)) return bytes;
    return reader.fail('sizes', 'a list of powers of two from 1 MiB on');
  });
  if (sizes.length === 0) reader.fail('sizes', 'at least one size');
  reader.end();
  return { bar, sizes };
}

export function readConfig(value: unknown, path: string): ConfigDescription {
  const reader = new FieldReader(value, path);
  const config = { known: reader.whole('known', CONFIG_BYTES), runs: reader.text('runs') };
  if (parseConfigRuns(config.runs) === null) reader.fail('runs', 'ascending OFFSET:BYTES in hex such as "40:01500348"');
  reader.end();
  return config;
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}
