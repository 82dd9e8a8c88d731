/** What may no longer be done to a memfd. @kernel F_SEAL_* */
export const Seal = { SEAL: 1, SHRINK: 2, GROW: 4, WRITE: 8, FUTURE_WRITE: 0x10, EXEC: 0x20 } as const;
/** Every seal that there is. @kernel F_ALL_SEALS */
export const ALL_SEALS = 0x3f;

/** How a memfd is made. @kernel MFD_* */
export const MemfdFlags = { CLOEXEC: 1, ALLOW_SEALING: 2, HUGETLB: 4, NOEXEC_SEAL: 8, EXEC: 0x10 } as const;
/** Where the logarithm of the size of a huge page stands in the flags; 0 for the default size. @kernel MFD_HUGE_SHIFT */
export const HUGE_SHIFT = 26;
export const HUGE_MASK = 0x3f;

/** How space is allocated. @kernel FALLOC_FL_* */
export const Falloc = { KEEP_SIZE: 1, PUNCH_HOLE: 2 } as const;

/** Longest name of a memfd in bytes. @kernel MFD_NAME_MAX_LEN */
export const MEMFD_NAME_BYTES = 249;
