import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as dmaBuf from '#dist/abi/dma-buf.js';
import * as dmaHeap from '#dist/abi/dma-heap.js';
import * as drm from '#dist/abi/drm.js';
import { ioctlParts } from '#dist/abi/ioctl-command.js';
import { abiStruct, chars, s32, s64, u32, u64 } from '#dist/abi/layout.js';
import * as swSync from '#dist/abi/sw-sync.js';
import * as syncFile from '#dist/abi/sync-file.js';
import * as syncobj from '#dist/abi/syncobj.js';
import * as udmabuf from '#dist/abi/udmabuf.js';

/** Numbers of commands as <linux/...> and <drm/...> have them on x86-64. */
const NUMBERS: Readonly<Record<string, number>> = {
  DMA_BUF_IOCTL_SYNC: 0x40086200,
  DMA_BUF_IOCTL_EXPORT_SYNC_FILE: 0xc0086202,
  DMA_BUF_IOCTL_IMPORT_SYNC_FILE: 0x40086203,
  DMA_HEAP_IOCTL_ALLOC: 0xc0184800,
  SYNC_IOC_MERGE: 0xc0303e03,
  SYNC_IOC_FILE_INFO: 0xc0383e04,
  SYNC_IOC_SET_DEADLINE: 0x40103e05,
  SW_SYNC_IOC_CREATE_FENCE: 0xc0285700,
  SW_SYNC_IOC_INC: 0x40045701,
  SW_SYNC_GET_DEADLINE: 0xc0105702,
  UDMABUF_CREATE: 0x40187542,
  UDMABUF_CREATE_LIST: 0x40087543,
  DRM_IOCTL_VERSION: 0xc0406400,
  DRM_IOCTL_GEM_CLOSE: 0x40086409,
  DRM_IOCTL_GEM_FLINK: 0xc008640a,
  DRM_IOCTL_GEM_OPEN: 0xc010640b,
  DRM_IOCTL_GET_CAP: 0xc010640c,
  DRM_IOCTL_PRIME_HANDLE_TO_FD: 0xc00c642d,
  DRM_IOCTL_PRIME_FD_TO_HANDLE: 0xc00c642e,
  DRM_IOCTL_MODE_CREATE_DUMB: 0xc02064b2,
  DRM_IOCTL_MODE_MAP_DUMB: 0xc01064b3,
  DRM_IOCTL_MODE_DESTROY_DUMB: 0xc00464b4,
  DRM_IOCTL_GEM_CHANGE_HANDLE: 0xc00864d2,
  DRM_IOCTL_VGEM_FENCE_ATTACH: 0xc0106441,
  DRM_IOCTL_VGEM_FENCE_SIGNAL: 0x40086442,
  DRM_IOCTL_SYNCOBJ_CREATE: 0xc00864bf,
  DRM_IOCTL_SYNCOBJ_DESTROY: 0xc00864c0,
  DRM_IOCTL_SYNCOBJ_HANDLE_TO_FD: 0xc01864c1,
  DRM_IOCTL_SYNCOBJ_FD_TO_HANDLE: 0xc01864c2,
  DRM_IOCTL_SYNCOBJ_WAIT: 0xc02864c3,
  DRM_IOCTL_SYNCOBJ_RESET: 0xc01064c4,
  DRM_IOCTL_SYNCOBJ_SIGNAL: 0xc01064c5,
  DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT: 0xc03064ca,
  DRM_IOCTL_SYNCOBJ_QUERY: 0xc01864cb,
  DRM_IOCTL_SYNCOBJ_TRANSFER: 0xc02064cc,
  DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL: 0xc01864cd,
  DRM_IOCTL_SYNCOBJ_EVENTFD: 0xc01864cf,
};

describe('numbers of commands', () => {
  const declared = [dmaBuf, dmaHeap, drm, swSync, syncFile, syncobj, udmabuf].flatMap((module) =>
    Object.entries(module as Record<string, unknown>).flatMap(([name, value]) =>
      typeof value === 'object' && value !== null && 'struct' in value ? [[name, value] as const] : [],
    ),
  ) as [string, { name: string; number: number; struct: { size: number } }][];

  test.each(declared)('%s', (name, command) => {
    expect(command.name).toBe(name);
    expect(command.number.toString(16)).toBe(NUMBERS[name]!.toString(16));
    expect(ioctlParts(command.number).size).toBe(command.struct.size);
  });

  test('every one is declared', () => {
    expect(declared.map(([name]) => name).toSorted()).toEqual(Object.keys(NUMBERS).toSorted());
    expect([dmaBuf.DMA_BUF_SET_NAME_A, dmaBuf.DMA_BUF_SET_NAME_B]).toEqual([0x40046201, 0x40086201]);
  });
});

describe('layout', () => {
  const Sample = abiStruct('sample', { a: u32, b: u64, name: chars(5), c: s32, d: s64, e: u32 });

  test('members are aligned to their size, the struct to its largest member', () => {
    expect(Sample.members).toEqual([
      { name: 'a', offset: 0, size: 4 },
      { name: 'b', offset: 8, size: 8 },
      { name: 'name', offset: 16, size: 5 },
      { name: 'c', offset: 24, size: 4 },
      { name: 'd', offset: 32, size: 8 },
      { name: 'e', offset: 40, size: 4 },
    ]);
    expect(Sample.size).toBe(48);
    expect(syncFile.SyncFenceInfo.size).toBe(80);
    expect(udmabuf.UdmabufCreateItem.size).toBe(24);
  });

  test('bytes are little-endian, texts are cut, what is left out is zero', () => {
    const bytes = Sample.encode({ a: 0x01020304, name: Buffer.from('abcdefgh'), c: -2 });
    expect([...bytes.subarray(0, 4)]).toEqual([4, 3, 2, 1]);
    expect(Buffer.from(bytes.subarray(16, 21)).toString()).toBe('abcde');
    expect(Sample.decode(bytes)).toMatchObject({ a: 0x01020304, b: 0n, c: -2, d: 0n, e: 0 });
  });

  test('what is missing at the end counts as zero', () => {
    expect(Sample.decode(Uint8Array.of(1, 0, 0, 0, 9, 9))).toMatchObject({ a: 1, b: 0n, e: 0 });
  });

  test('what is encoded is decoded', () => {
    const sample = fc.record({
      a: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      b: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      name: fc.uint8Array({ minLength: 5, maxLength: 5 }),
      c: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      d: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      e: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    });
    fc.assert(
      fc.property(sample, (values) => {
        expect(Sample.decode(Sample.encode(values))).toEqual(values);
      }),
    );
  });
});
