/** @kernel PROT_* */
export const Prot = { NONE: 0, READ: 1, WRITE: 2, EXEC: 4 } as const;

/** @kernel MAP_* */
export const MapFlags = {
  SHARED: 1,
  PRIVATE: 2,
  SHARED_VALIDATE: 3,
  TYPE: 0xf,
  FIXED: 0x10,
  ANONYMOUS: 0x20,
  POPULATE: 0x8000,
  FIXED_NOREPLACE: 0x100000,
} as const;

/** End of a program's addresses on x86-64. @kernel TASK_SIZE_MAX */
export const TASK_SIZE = 2 ** 47 - 4096;
