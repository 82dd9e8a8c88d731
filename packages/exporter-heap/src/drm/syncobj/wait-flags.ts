/** @kernel DRM_SYNCOBJ_WAIT_FLAGS_* */
export const SyncobjWaitFlags = { WAIT_ALL: 1, WAIT_FOR_SUBMIT: 2, WAIT_AVAILABLE: 4, WAIT_DEADLINE: 8 } as const;
