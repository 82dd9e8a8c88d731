import { DRM_NODES, DrmCap, DrmFile, Memfd } from '@dmabuf-emu/exporter-heap';
import { describe, expect, it } from 'vitest';
import { answer, drmRig } from '../drm.fixture.ts';

const ASKED = [0x1, 0x3, 0x5, 0x6, 0x10, 0x13, 0x14, 0x99];

describe('capabilities', () => {
  it.each([
    ['vgem', ['EOPNOTSUPP', 'EOPNOTSUPP', 3, 1, 'EOPNOTSUPP', 0, 0, 'EOPNOTSUPP']],
    ['vkms', [1, 0, 3, 1, 1, 0, 0, 'EINVAL']],
    ['virtio_gpu', [1, 0, 3, 1, 0, 1, 1, 'EINVAL']],
  ] as const)('of %s are those that were recorded', (driver, values) => {
    using r = drmRig();
    const drm = r.open(driver);
    expect(ASKED.map((cap) => answer(() => drm.getCap(cap)))).toEqual(values);
  });

  it('include the size of the cursor', () => {
    using r = drmRig();
    expect(r.open('vkms').getCap(DrmCap.CURSOR_WIDTH)).toBe(512);
  });
});

describe('a device', () => {
  it('tells its version; there are no dates any more', () => {
    using r = drmRig();
    const virtio = { name: 'virtio_gpu', desc: 'virtio GPU', date: '0', version: [0, 1, 0] };
    expect(r.open('virtio_gpu').version()).toEqual(virtio);
    expect(r.open('vgem').version()).toMatchObject({ name: 'vgem', date: '0', version: [1, 0, 0] });
  });

  it('is behind a card node, some behind a render node', () => {
    expect(DRM_NODES.map(({ path, driver }) => [path, driver])).toEqual([
      ['/dev/dri/card0', 'vgem'],
      ['/dev/dri/card1', 'vkms'],
      ['/dev/dri/card2', 'virtio_gpu'],
      ['/dev/dri/renderD128', 'vgem'],
      ['/dev/dri/renderD130', 'virtio_gpu'],
    ]);
  });

  it('is a file: link and fdinfo say so, seeking does nothing', () => {
    using r = drmRig();
    const drm = r.open('virtio_gpu', { render: true, flags: 2 });
    const fd = r.fds.install(drm.file.get());
    expect(r.fds.link(fd)).toBe('/dev/dri/renderD130');
    expect(r.fds.fdinfo(fd)).toEqual(['pos:\t0', 'flags:\t02']);
    expect(drm.file.llseek(77, 0)).toBe(0);
    expect(DrmFile.of(drm.file)).toMatchObject({ isRender: true, driver: { name: 'virtio_gpu' } });
    const memfd = Memfd.create(r.machine, 'm');
    expect(() => DrmFile.of(memfd.file)).toThrow('is no DRM device');
    memfd.file.put();
  });
});
