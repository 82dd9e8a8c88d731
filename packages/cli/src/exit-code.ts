/** Wrong usage or input; the others are those of the stress result. */
export const EXIT_USAGE = 2;
