import { i32, mutex, ref, struct, u53 } from '@dmabuf-emu/shm';

/** A user's I/O address space in VFIO. @kernel vfio_iommu */
export const ContainerStruct = struct('vfio_container', {
  task: i32(),
  /** Guards what is mapped. */
  lock: mutex('vfio_iommu.lock'),
  dmas: ref(),
});

/** A range of program memory that is mapped. @kernel vfio_dma */
export const VfioDmaStruct = struct('vfio_dma', {
  task: i32(),
  next: ref(),
  iova: u53(),
  bytes: u53(),
  /** The first of a chain of pins. */
  pins: ref(),
  /** Where it is mapped. */
  domain: ref(),
});
