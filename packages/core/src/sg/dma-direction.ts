/** Which way data moves through a mapping. @kernel enum dma_data_direction */
export const DmaDirection = { BIDIRECTIONAL: 0, TO_DEVICE: 1, FROM_DEVICE: 2, NONE: 3 } as const;
export type DmaDirection = (typeof DmaDirection)[keyof typeof DmaDirection];
