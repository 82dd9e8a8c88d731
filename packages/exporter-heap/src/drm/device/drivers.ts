/** What a driver of this room is and can do. */
export interface DrmDriver {
  readonly name: DrmDriverName;
  readonly desc: string;
  readonly version: readonly [major: number, minor: number, patch: number];
  /** Number of its card node; render nodes are 128 above. */
  readonly minor: number;
  /** @kernel DRIVER_RENDER */
  readonly render: boolean;
  /** @kernel DRIVER_MODESET */
  readonly modeset: boolean;
  /** @kernel DRIVER_SYNCOBJ, DRIVER_SYNCOBJ_TIMELINE */
  readonly syncobj: boolean;
  /** Values of capabilities of mode setting that are not 0. */
  readonly caps: Readonly<Partial<Record<number, number>>>;
  /** The only bpp of its dumb buffers; any when left out. */
  readonly dumbBpp?: number;
  /** What its dma-bufs say their exporter is. */
  readonly expName: string;
  /** Makes no objects of the pages of others: importing is refused once the buffer is mapped. @kernel virtgpu_gem_prime_import_sg_table */
  readonly refusesImports?: boolean;
}

export type DrmDriverName = 'vgem' | 'vkms' | 'virtio_gpu';

/** What a program can ask a DRM device for. @kernel DRM_CAP_* */
export const DrmCap = {
  DUMB_BUFFER: 0x1,
  VBLANK_HIGH_CRTC: 0x2,
  DUMB_PREFERRED_DEPTH: 0x3,
  DUMB_PREFER_SHADOW: 0x4,
  PRIME: 0x5,
  TIMESTAMP_MONOTONIC: 0x6,
  ASYNC_PAGE_FLIP: 0x7,
  CURSOR_WIDTH: 0x8,
  CURSOR_HEIGHT: 0x9,
  ADDFB2_MODIFIERS: 0x10,
  PAGE_FLIP_TARGET: 0x11,
  CRTC_IN_VBLANK_EVENT: 0x12,
  SYNCOBJ: 0x13,
  SYNCOBJ_TIMELINE: 0x14,
  ATOMIC_ASYNC_PAGE_FLIP: 0x15,
} as const;

const KMS_CAPS = { [DrmCap.DUMB_BUFFER]: 1, [DrmCap.VBLANK_HIGH_CRTC]: 1, [DrmCap.CRTC_IN_VBLANK_EVENT]: 1 } as const;

/** The drivers, by number of their card node. */
export const DRM_DRIVERS: Readonly<Record<DrmDriverName, DrmDriver>> = {
  vgem: {
    name: 'vgem',
    desc: 'Virtual GEM provider',
    version: [1, 0, 0],
    minor: 0,
    render: true,
    modeset: false,
    syncobj: false,
    caps: {},
    expName: 'drm',
  },
  vkms: {
    name: 'vkms',
    desc: 'Virtual Kernel Mode Setting',
    version: [1, 0, 0],
    minor: 1,
    render: false,
    modeset: true,
    syncobj: false,
    caps: {
      ...KMS_CAPS,
      [DrmCap.ADDFB2_MODIFIERS]: 1,
      [DrmCap.CURSOR_WIDTH]: 512,
      [DrmCap.CURSOR_HEIGHT]: 512,
    },
    expName: 'drm',
  },
  virtio_gpu: {
    name: 'virtio_gpu',
    desc: 'virtio GPU',
    version: [0, 1, 0],
    minor: 2,
    render: true,
    modeset: true,
    syncobj: true,
    caps: { ...KMS_CAPS, [DrmCap.CURSOR_WIDTH]: 64, [DrmCap.CURSOR_HEIGHT]: 64 },
    dumbBpp: 32,
    expName: 'virtio_gpu',
    refusesImports: true,
  },
};

/** A node in /dev/dri. */
export interface DrmNode {
  readonly path: string;
  readonly driver: DrmDriverName;
  readonly render: boolean;
}

/** Every node, cards first. */
export const DRM_NODES: readonly DrmNode[] = [false, true].flatMap((render) =>
  Object.values(DRM_DRIVERS)
    .filter((driver) => driver.render || !render)
    .map(({ name, minor }) => ({ path: nodePath(minor, render), driver: name, render })),
);

/** Path of a driver's card or render node. */
export function nodePath(minor: number, render: boolean): string {
  return render ? `/dev/dri/renderD${128 + minor}` : `/dev/dri/card${minor}`;
}
