import { DRM_NODES as NODES, DrmFile } from '@dmabuf-emu/exporter-heap';
import { DRM_BEHAVIOUR } from '../drm-behaviour.ts';
import type { FsNode } from '../fs-node.ts';
import { deviceNode } from './device-node.ts';

/** Cards and render nodes. */
export const DRM_NODES: readonly FsNode[] = NODES.map(({ path, driver, render }) => ({
  ...deviceNode(path, DRM_BEHAVIOUR),
  open: ({ machine }, flags) => DrmFile.open(machine, driver, { render, flags }).file,
}));
