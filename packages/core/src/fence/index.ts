export {
  FenceArray,
  fenceArrayCreate,
  fenceArrayFirst,
  type FenceArrayInit,
  fenceArrayNext,
  fenceIsArray,
  fenceMatchContext,
} from './array.ts';
export { type CallbackDriver, type CallbackOps, defineFenceCallback, FenceCallback } from './callback.ts';
export {
  FenceChain,
  fenceChainAlloc,
  fenceChainContained,
  fenceChainCreate,
  fenceChainFindSeqno,
  fenceChainFree,
  fenceChainInit,
  fenceChainPrevSeqno,
  fenceChainWalk,
  fenceIsChain,
} from './chain.ts';
export { Fence } from './fence.ts';
export {
  drainCallbacks,
  fenceAddCallback,
  fenceCheckAndSignal,
  fenceContextAlloc,
  fenceCreate,
  fenceDescribe,
  fenceEnableSignaling,
  fenceGet,
  fenceGetRcuSafe,
  fenceGetStatus,
  fenceGetStub,
  fenceIsContainer,
  fenceIsLater,
  fenceIsLaterOrSame,
  fenceIsSignaled,
  fenceLater,
  fencePrivateStub,
  fencePut,
  fenceRemoveCallback,
  fenceSetDeadline,
  fenceSetError,
  fenceSignal,
  fenceTestSignaledFlag,
  fenceTimestamp,
  fenceTryGet,
  fenceWait,
  fenceWaitAny,
  fenceWaitAsync,
  fenceWasInitialized,
  type FenceWaitOptions,
  installFences,
  noteCallbackHolder,
  noteFenceHolder,
} from './functions.ts';
export { type FenceInit } from './internal/create.ts';
export { type WaitAnyResult } from './internal/wait-any.ts';
export {
  fenceAssertHeld,
  fenceGetStatusLocked,
  fenceIsSignaledLocked,
  fenceLock,
  fenceSignalLocked,
  fenceUnlock,
} from './locked.ts';
export { defineFenceOps, type FenceDriver, type FenceOps } from './ops.ts';
export { fenceBeginSignalling, fenceEndSignalling } from './signalling.ts';
export { PollCallback, pollCallback } from './poll-callback.ts';
export { SignalRight } from './signal-right.ts';
export { fenceDedup, fenceUnwrap, fenceUnwrapMerge, mergeFences } from './unwrap.ts';
