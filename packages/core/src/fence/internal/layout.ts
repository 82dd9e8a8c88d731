import { i32, ref, struct, u53 } from '@dmabuf-emu/shm';

/**
 * A fence: 32 bytes, in the order that `Slab.make` fills, with one state word. While unsignalled, the last two words are the callback list and the owner of the right to
 * signal; afterwards they are the time stamp. `state` is word 3, which survives freeing: a reference can be tried at any time.
 * @kernel dma_fence
 */
export const FenceStruct = struct('dma_fence', {
  context: i32(),
  /** The issuer's own word. */
  priv: i32(),
  /** References from bit 8 on, flags below. */
  state: i32(),
  seqno: u53(),
  /** First callback of a ring, 0 for none. */
  callbacks: ref(),
  /** Task that owns the right to signal, 0 for nobody. */
  owner: i32(),
});

/** The first flag of the state word: the fence's spin lock. @kernel dma_fence_flag_bits */
export const LOCK = 1;
/** @kernel DMA_FENCE_FLAG_SIGNALED_BIT */
export const SIGNALED = 2;
/** @kernel DMA_FENCE_FLAG_ENABLE_SIGNAL_BIT */
export const ENABLE_SIGNAL = 4;
/** @kernel DMA_FENCE_FLAG_SEQNO64_BIT */
export const SEQNO64 = 8;
/** Somebody may sleep on the state word. */
export const WAITERS = 16;
/** The callback ring is not empty. */
export const CALLBACKS = 32;
/** The driver is told when the last reference goes. */
export const RELEASES = 64;
/** The issuer's own flag. @kernel DMA_FENCE_FLAG_USER_BITS */
export const USER = 128;

export const REF_SHIFT = 8;
export const REF = 1 << REF_SHIFT;

/** Low bits of the slot's header: number of the fence driver, then the error's magnitude. */
export const OPS_MASK = 0x3ff;
export const ERROR_SHIFT = 10;
export const ERROR_MASK = 0xfff << ERROR_SHIFT;
/** @kernel MAX_ERRNO */
export const MAX_ERRNO = 4095;

/** Word offsets, for code that touches nothing else. */
export const STATE = FenceStruct.state.at;
export const RING = FenceStruct.callbacks.at;
export const OWNER = FenceStruct.owner.at;

/** A registered callback. Its memory belongs to who registers it. @kernel dma_fence_cb */
export const CallbackStruct = struct('dma_fence_cb', {
  next: ref(),
  prev: ref(),
  /** The fence that it is queued on, 0 while it is on none. */
  fence: ref(),
  /** Number of a `fence-cb` driver, or one of the two below. */
  func: i32(),
  /** Task that registered it. */
  task: i32(),
  /** The owner's word. */
  arg: i32(),
  /** The fence that ended, while it waits in its task's mailbox; that is a reference. */
  posted: ref(),
});

/** The callback is a plain function of the registering task. */
export const FUNC_CLOSURE = -1;
/** The callback wakes a task: `arg` is an event word to count up. */
export const FUNC_WAKE = -2;

/** Operations that a fence driver has; a machine-wide word per driver. */
export const CAP_KNOWN = 1;
export const CAP_ENABLE = 2;
export const CAP_SIGNALED = 4;
export const CAP_WAIT = 8;
export const CAP_RELEASE = 16;
export const CAP_DEADLINE = 32;
export const CAP_CONTAINER = 64;
/** Keeps its operations after signalling. */
export const CAP_KEEPS_OPS = CAP_WAIT | CAP_RELEASE;
