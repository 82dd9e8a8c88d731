import { i32, mutex, ref, rwsem, struct, u53 } from '@dmabuf-emu/shm';

/** An I/O address space of an application: areas, and the domains that each area is mapped in. @kernel iommufd_ioas, io_pagetable */
export const IoasStruct = struct('iommufd_ioas', {
  task: i32(),
  /** Held to keep the list of domains as it is. Outside `iovas`. */
  domainsLock: rwsem('iopt.domains_rwsem'),
  /** Guards the list of areas. Outside the areas' `pages.mutex`; never inside resv. */
  iovas: rwsem('iopt.iova_rwsem'),
  domains: ref(),
  areas: ref(),
});

/** A domain of an address space. @kernel iommufd_hwpt_paging */
export const HwptStruct = struct('iommufd_hwpt', { task: i32(), next: ref(), domain: ref(), ioas: ref() });

/** A range of an address space. @kernel iopt_area */
export const AreaStruct = struct('iopt_area', {
  task: i32(),
  next: ref(),
  ioas: ref(),
  /** A buffer's pages, or with `user` a program's. */
  pages: ref(),
  user: i32(),
  iova: u53(),
  length: u53(),
  prot: i32(),
  /** Domain whose allocator gave the addresses; null when the address space chose them. */
  allocator: ref(),
});

/** A buffer behind an area. Lives as long as the area. @kernel iopt_pages, IOPT_ADDRESS_DMABUF */
export const PagesStruct = struct('iopt_pages', {
  task: i32(),
  /** Holds a reference while it is not null. */
  dmabuf: ref(),
  attachment: ref(),
  /** The engine whose accesses an unmap drains; may be null. */
  hw: ref(),
  /** Guards all that follows. Inside resv. */
  lock: mutex('iopt_pages.mutex(dmabuf)'),
  /** Where the buffer is; length 0: revoked. */
  physAddress: u53(),
  physLength: u53(),
  /** Offset in the buffer of the area's first page. */
  start: u53(),
  tracker: ref(),
  /** Callbacks that found it mapped. */
  revokes: i32(),
});

/** An area is, or is about to be, mapped in a domain. @kernel iopt_pages_dmabuf_track */
export const TrackStruct = struct('iopt_track', { task: i32(), next: ref(), domain: ref(), area: ref() });

/** Program memory behind an area. Lives as long as the area. @kernel iopt_pages, IOPT_ADDRESS_USER */
export const UserPagesStruct = struct('iopt_user_pages', {
  task: i32(),
  /** The first of a chain of pins. */
  pins: ref(),
  largePages: i32(),
});
