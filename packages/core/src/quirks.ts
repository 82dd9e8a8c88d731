import { defineQuirks } from '@dmabuf-emu/shm';

/**
 * Behaviours of other kernels than 7.1, and of unfixed or specially configured ones, in fences, reservation objects, files and
 * dma-bufs. A machine has those of its kernel, and those that its option `quirks` names.
 */
export const CORE_QUIRKS = defineQuirks({
  'fence.namesStay': {
    what: 'a signalled fence still shows the names of its driver and its timeline',
    why: 'the fixed names detached-driver and signaled-timeline came with 6.17',
    kernels: ['6.12'],
  },
  'fence.describeBySeqno': {
    what: 'fences are described as `driver timeline seq N [un]signalled`, without their context',
    why: 'the present form came with 6.17',
    kernels: ['6.12'],
  },
  'fence.timelineNameBug': {
    what: 'an unsignalled fence shows the name of its driver in place of that of its timeline',
    why: 'defect of the accessors of 6.17, fixed after 7.1',
    kernels: ['6.19', '7.0', '7.1-rc2'],
  },
  'fence.opsStay': {
    what: 'a driver without `release` and `wait` is not detached from its fences when they signal',
    why: 'detaching came with 7.1',
    kernels: ['6.12', '6.19', '7.0'],
  },
  'fence.arrayNeedsAll': {
    what: 'a fence array signals with its last member, whatever `signalOnAny` says',
    why: 'the argument was dropped after 7.1',
    kernels: ['7.3'],
  },
  'resv.endlessWalk': {
    what: 'a walk without the lock returns its current fence for ever once the list has been replaced by none',
    why: 'defect of every kernel so far, which can be switched on alone',
    kernels: [],
  },
  'core.moveNotifyRequired': {
    what: 'a dynamic attachment whose importer has no callback for moves is refused with EINVAL',
    why: 'the callback became optional with 7.1',
    kernels: ['6.12', '6.19', '7.0'],
  },
  'core.fdTraceLate': {
    what: 'dma_buf_fd touches the buffer once more after its descriptor can be closed by others: a use after free',
    why: 'defect of the trace events of 7.0, fixed after 7.1',
    kernels: ['7.0', '7.1-rc2'],
  },
  'core.dmabufDebug': {
    what: 'mapping hands out wrapped copies of the tables of exporters',
    why: 'the option CONFIG_DMABUF_DEBUG, off unless chosen',
    kernels: [],
  },
  'core.noFsnotifyMode': {
    what: 'files without a path do not say of themselves that they raise no notifications',
    why: 'that bit of the mode came with 6.14',
    kernels: ['6.12'],
  },
});
