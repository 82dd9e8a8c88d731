// What a random scenario may do: for each operation how often, what it needs, which values its arguments take, and what it makes.
//
// Values that tell apart what the kernel's checks tell apart: 0, 1, limits and one past them, unknown bits. Left out is what
// does not have one answer: waiting, background steps, text of the whole machine, memory without limit.

const FLAGS32 = ['0', '0', '0', '0', '1', '2', '0x80000000', 'U32MAX'];
const PAGES = ['1P', '1P', '2P', '3P', '16P', '0', '1', '4095', '4097', '0x7ffffffffffff000', 'U64MAX'];
const OFFSETS = ['0', '0', '1P', '2P', '1', '0xfffffffffffff000', 'U64MAX'];
const EVENTS = ['IN', 'OUT', 'IN|OUT', 'IN|OUT|PRI|ERR|HUP', '0'];
const OPEN_FLAGS = [
  'RDWR|CLOEXEC',
  'RDWR|CLOEXEC',
  'RDONLY|CLOEXEC',
  'RDWR',
  'RDONLY',
  'WRONLY',
  '3',
  'RDWR|NONBLOCK',
  'U32MAX',
];
const SYNC_FLAGS = [
  'READ',
  'WRITE',
  'READ|WRITE',
  'READ|END',
  'WRITE|END',
  'READ|WRITE|END',
  '0',
  '4',
  '8',
  '0x80000001',
];
const USAGE = ['READ', 'WRITE', 'READ|WRITE', 'READ', 'WRITE', '0', '4', '8', '0x80000000'];
const SEALS = [
  'SHRINK',
  'SHRINK',
  'SHRINK',
  'SHRINK|GROW',
  'SHRINK|SEAL',
  'GROW',
  'SHRINK|FUTURE_WRITE',
  'SHRINK|SEALWRITE',
  '0',
];
const POINTS = ['0', '1', '2', '3', '7', 'U64MAX'];
const TIMES = ['0', '1', '1000000000', '0x7fffffffffffffff', 'U64MAX'];

/** An argument from a pool of variables of one of these kinds; now and then one of another kind, or none. */
const of = (...kinds) => ({ kinds });
/** One of some values. */
const one = (...values) => ({ values });
/** A value only sometimes. */
const maybe = (values) => ({ values, optional: true });

const FILE = of('dmabuf', 'dmabuf', 'sync', 'memfd', 'timeline', 'heap', 'udmabuf', 'drm', 'epoll', 'eventfd');

/** weight, what stands before `=`, arguments by name, kind of the variable that it makes */
export const OPERATIONS = {
  // where buffers come from
  'open path=/dev/udmabuf': { weight: 2, makes: 'udmabuf' },
  'open path=/dev/dma_heap/system': { weight: 2, makes: 'heap' },
  'drm_open driver=vgem': { weight: 3, makes: 'drm' },
  'drm_open driver=virtio_gpu': { weight: 1, makes: 'drm' },
  memfd: {
    weight: 4,
    args: {
      size: one('1P', '2P', '4P', '16P', '0', '5000'),
      seals: one(...SEALS),
      flags: maybe(['MFD_CLOEXEC', 'MFD_SEALING', 'MFD_SEALING|MFD_CLOEXEC']),
    },
    makes: 'memfd',
  },
  udmabuf_create: {
    weight: 4,
    needs: ['udmabuf', 'memfd'],
    args: {
      dev: of('udmabuf'),
      memfd: of('memfd'),
      size: one(...PAGES),
      offset: maybe(OFFSETS),
      flags: maybe(['1', '2', 'U32MAX']),
    },
    makes: 'dmabuf',
  },
  udmabuf_create_list: {
    weight: 2,
    needs: ['udmabuf', 'memfd'],
    args: { dev: of('udmabuf'), items: 'items', flags: maybe(['1', '2']), count: maybe(['0', '1', '2', '1025']) },
    makes: 'dmabuf',
  },
  heap_alloc: {
    weight: 5,
    needs: ['heap'],
    args: {
      dev: of('heap'),
      len: one('1', '1P', '2P', '5000', '1M', '0'),
      fd: maybe(['0', '1']),
      fd_flags: maybe(OPEN_FLAGS),
      heap_flags: maybe(['0', '1']),
    },
    makes: 'dmabuf',
  },
  dumb_create: {
    weight: 4,
    needs: ['drm'],
    args: {
      drm: of('drm'),
      w: one('1', '64', '63', '0', '4096'),
      h: one('1', '16', '0'),
      bpp: one('32', '16', '8', '24', '1', '0', '33'),
    },
    makes: 'handle',
  },
  prime_export: {
    weight: 4,
    needs: ['handle'],
    args: { drm: of('drm'), handle: of('handle'), flags: maybe(OPEN_FLAGS) },
    makes: 'dmabuf',
  },
  prime_import: {
    weight: 3,
    needs: ['drm', 'dmabuf'],
    args: { drm: of('drm'), fd: of('dmabuf'), flags: maybe(FLAGS32) },
    makes: 'handle',
  },
  // GEM
  dumb_map: { weight: 1, needs: ['handle'], args: { drm: of('drm'), handle: of('handle'), pad: maybe(['1']) } },
  dumb_destroy: { weight: 1, needs: ['handle'], args: { drm: of('drm'), handle: of('handle') } },
  gem_close: { weight: 2, needs: ['handle'], args: { drm: of('drm'), handle: of('handle'), pad: maybe(['1']) } },
  gem_flink: { weight: 1, needs: ['handle'], args: { drm: of('drm'), handle: of('handle') }, makes: 'flink' },
  gem_open: { weight: 1, needs: ['flink'], args: { drm: of('drm'), name: of('flink') }, makes: 'handle' },
  vgem_attach: {
    weight: 3,
    needs: ['handle'],
    args: { drm: of('drm'), handle: of('handle'), flags: maybe(['VGEM_WRITE', '2', '0']), pad: maybe(['1']) },
    makes: 'vfence',
  },
  vgem_signal: { weight: 2, needs: ['vfence'], args: { drm: of('drm'), fence: of('vfence'), flags: maybe(['1']) } },
  // the dma-buf itself
  dmabuf_sync: { weight: 4, needs: ['dmabuf'], args: { fd: of('dmabuf'), flags: one(...SYNC_FLAGS) }, quiet: true },
  set_name: {
    weight: 2,
    needs: ['dmabuf'],
    args: {
      fd: of('dmabuf'),
      name: one('"a"', '""', '"0123456789012345678901234567890"', '"01234567890123456789012345678901"', '"x\\ny"'),
    },
  },
  export_sync: { weight: 5, needs: ['dmabuf'], args: { fd: of('dmabuf'), flags: one(...USAGE) }, makes: 'sync' },
  import_sync: {
    weight: 6,
    needs: ['dmabuf', 'sync'],
    args: { fd: of('dmabuf'), flags: one(...USAGE), sync: of('sync') },
  },
  // sw_sync and sync_file
  sw_open: { weight: 4, makes: 'timeline' },
  sw_fence: {
    weight: 6,
    needs: ['timeline'],
    args: {
      tl: of('timeline'),
      value: one('1', '2', '3', '5', '0', '0x7fffffff', '0x80000000', 'U32MAX'),
      name: maybe(['"one"', '""', '"0123456789012345678901234567890123"']),
    },
    // The number of this command means an allocation to a heap.
    strict: true,
    makes: 'sync',
  },
  sw_inc: {
    weight: 4,
    needs: ['timeline'],
    args: { tl: of('timeline'), by: one('1', '1', '2', '0', '0x7fffffff', 'U32MAX') },
  },
  sw_deadline: {
    weight: 1,
    needs: ['timeline', 'sync'],
    args: { tl: of('timeline'), fence: of('sync'), ns: maybe(TIMES), pad: maybe(['1']) },
  },
  sync_info: {
    weight: 5,
    needs: ['sync'],
    args: { fd: of('sync'), num: maybe(['0', '1', '2']), flags: maybe(['1']), pad: maybe(['1']) },
  },
  sync_merge: {
    weight: 5,
    needs: ['sync'],
    args: {
      fd: of('sync'),
      fd2: of('sync'),
      name: maybe(['"merged"', '""', '"0123456789012345678901234567890123"']),
      flags: maybe(['1']),
      pad: maybe(['1']),
    },
    makes: 'sync',
  },
  sync_deadline: { weight: 1, needs: ['sync'], args: { fd: of('sync'), ns: one(...TIMES), pad: maybe(['1']) } },
  // syncobj
  so_create: {
    weight: 3,
    needs: ['drm'],
    args: { drm: of('drm'), flags: maybe(['SYNCOBJ_SIGNALED', '2']) },
    makes: 'syncobj',
  },
  so_destroy: { weight: 1, needs: ['syncobj'], args: { drm: of('drm'), handle: of('syncobj'), pad: maybe(['1']) } },
  so_signal: { weight: 2, needs: ['syncobj'], args: { drm: of('drm'), handles: of('syncobj'), points: maybe(POINTS) } },
  so_reset: { weight: 1, needs: ['syncobj'], args: { drm: of('drm'), handles: of('syncobj'), pad: maybe(['1']) } },
  so_query: {
    weight: 2,
    needs: ['syncobj'],
    args: { drm: of('drm'), handles: of('syncobj'), flags: maybe(['1', '2']) },
  },
  so_wait: {
    weight: 2,
    needs: ['syncobj'],
    args: {
      drm: of('drm'),
      handles: of('syncobj'),
      points: maybe(POINTS),
      flags: maybe(['WAIT_ALL', 'WAIT_FOR_SUBMIT', 'WAIT_ALL|WAIT_FOR_SUBMIT', 'WAIT_AVAILABLE', '0x80']),
    },
  },
  so_to_fd: {
    weight: 2,
    needs: ['syncobj'],
    args: { drm: of('drm'), handle: of('syncobj'), flags: one('SYNCOBJ_SYNC_FILE') },
    makes: 'sync',
  },
  so_from_fd: {
    weight: 1,
    needs: ['syncobj', 'sync'],
    args: { drm: of('drm'), handle: of('syncobj'), fd: of('sync'), flags: one('SYNCOBJ_SYNC_FILE') },
  },
  so_transfer: {
    weight: 1,
    needs: ['syncobj'],
    args: {
      drm: of('drm'),
      src: of('syncobj'),
      dst: of('syncobj'),
      src_point: maybe(POINTS),
      dst_point: maybe(POINTS),
      flags: maybe(['WAIT_FOR_SUBMIT', '0x10']),
      pad: maybe(['1']),
    },
  },
  // waiting without time
  poll: {
    weight: 7,
    needs: ['dmabuf|sync'],
    args: { fd: of('dmabuf', 'sync', 'timeline', 'eventfd'), events: one(...EVENTS) },
  },
  epoll_create: { weight: 1, makes: 'epoll' },
  epoll_add: {
    weight: 2,
    needs: ['epoll'],
    args: {
      ep: of('epoll'),
      fd: FILE,
      events: one('IN', 'OUT', 'IN|OUT', 'IN|ET', 'IN|ONESHOT'),
      tag: one('1', '2', '3'),
    },
  },
  epoll_mod: {
    weight: 1,
    needs: ['epoll'],
    args: { ep: of('epoll'), fd: FILE, events: one('IN', 'OUT', 'IN|ONESHOT'), tag: one('4', '5') },
  },
  epoll_del: { weight: 1, needs: ['epoll'], args: { ep: of('epoll'), fd: FILE } },
  epoll_wait: { weight: 2, needs: ['epoll'], args: { ep: of('epoll') } },
  eventfd: { weight: 1, args: { init: one('0', '1') }, makes: 'eventfd' },
  // any file
  fdinfo: { weight: 4, needs: ['dmabuf'], args: { fd: of('dmabuf', 'dmabuf', 'sync', 'memfd') } },
  fstat: { weight: 1, needs: ['dmabuf'], args: { fd: FILE } },
  statfs: { weight: 1, needs: ['dmabuf'], args: { fd: FILE } },
  scm: {
    weight: 1,
    needs: ['dmabuf|sync'],
    args: { fd: FILE, close_first: maybe(['1']) },
    makes: 'same',
    strict: true,
  },
  'fcntl cmd=SETFL': { weight: 1, needs: ['dmabuf|sync'], args: { fd: FILE, arg: one('0', 'NONBLOCK', 'APPEND') } },
  readlink: { weight: 1, needs: ['dmabuf'], args: { fd: FILE } },
  'fcntl cmd=GETFL': { weight: 1, needs: ['dmabuf|sync'], args: { fd: FILE } },
  'fcntl cmd=GETFD': { weight: 1, needs: ['dmabuf|sync'], args: { fd: FILE } },
  'fcntl cmd=GET_SEALS': { weight: 1, needs: ['memfd'], args: { fd: FILE } },
  'fcntl cmd=ADD_SEALS': { weight: 2, needs: ['memfd'], args: { fd: of('memfd'), arg: one(...SEALS) } },
  lseek: {
    weight: 2,
    needs: ['dmabuf'],
    args: {
      fd: FILE,
      off: one('0', '0', '1', '4096', '0xffffffffffffffff'),
      whence: one('SEEK_SET', 'SEEK_END', 'SEEK_CUR', 'SEEK_DATA', 'SEEK_HOLE', '9'),
    },
  },
  pread: {
    weight: 1,
    needs: ['memfd|dmabuf'],
    // Reading a DRM file or a counter waits.
    args: {
      fd: of('memfd', 'dmabuf', 'sync', 'timeline', 'heap', 'udmabuf'),
      len: one('4', '0', '16'),
      off: one('0', '1', '4096'),
    },
    strict: true,
  },
  pwrite: {
    weight: 1,
    needs: ['memfd|dmabuf'],
    args: { fd: of('memfd', 'dmabuf'), hex: one('0102', 'ff'), off: one('0', '1', '4096') },
  },
  ftruncate: {
    weight: 2,
    needs: ['memfd'],
    args: { fd: of('memfd', 'memfd', 'dmabuf'), len: one('0', '1P', '2P', '32P', '100') },
    // The size of some files in debugfs outlives the scenario.
    strict: true,
  },
  'fallocate mode=3': {
    weight: 1,
    needs: ['memfd'],
    args: { fd: of('memfd', 'memfd', 'dmabuf'), off: one('0', '1P'), len: one('1P', '2P', '0') },
  },
  dup: { weight: 2, needs: ['dmabuf|sync'], args: { fd: FILE }, makes: 'same' },
  kcmp: { weight: 1, needs: ['dmabuf'], args: { a: of('dmabuf'), b: of('dmabuf') } },
  close: { weight: 4, needs: ['dmabuf|sync'], args: { fd: FILE }, ends: 'fd' },
  ioctl: {
    weight: 1,
    needs: ['dmabuf|sync'],
    args: {
      fd: FILE,
      cmd: one('0x40086200', '0xc0086202', '0x40086203', '0xc0303e03', '0x6200', '0x5401', '0', '0x40086205'),
      arg: one('0'),
    },
  },
  // memory
  mmap: {
    weight: 4,
    needs: ['dmabuf'],
    args: {
      fd: of('dmabuf', 'dmabuf', 'memfd'),
      len: one('1P', '2P', '1', '0', '17P'),
      prot: maybe(['PROT_READ', 'PROT_WRITE', 'PROT_NONE', 'PROT_READ|PROT_WRITE']),
      flags: maybe(['MAP_PRIVATE', 'MAP_SHARED']),
      off: maybe(['1P', '2P', '1', '0x7ffffffffffff000', '0xfffffffffffff000']),
    },
    makes: 'map',
  },
  peek: {
    weight: 3,
    needs: ['map'],
    args: { map: of('map'), off: maybe(['4096', '4092', '8192']), len: one('4', '1') },
  },
  poke: {
    weight: 3,
    needs: ['map'],
    args: { map: of('map'), off: maybe(['4096', '0', '8192']), len: one('4', '1'), byte: one('0x11', '0x22', '0xff') },
  },
  mprotect: {
    weight: 1,
    needs: ['map'],
    args: {
      map: of('map'),
      len: one('1P', '2P'),
      prot: one('PROT_READ', 'PROT_READ|PROT_WRITE', 'PROT_NONE', 'PROT_READ|PROT_EXEC'),
    },
  },
  mremap: {
    weight: 1,
    needs: ['map'],
    args: { map: of('map'), old: one('1P', '2P'), new: one('1P', '0') },
  },
  maps: { weight: 1, needs: ['map'], args: { map: of('map') } },
  munmap: { weight: 1, needs: ['map'], args: { map: of('map'), len: one('1P', '2P', '0') }, ends: 'map' },
};
