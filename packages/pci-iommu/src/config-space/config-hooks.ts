/** What a `ConfigSpace` tells its system. Never called with the registers locked. */
export interface ConfigHooks {
  /** Registers that packets are routed by changed: ACS control, a bridge's windows, bus numbers or command. */
  readonly routesChanged: () => void;
  /** The bit of a function level reset was written. */
  readonly flr: () => void;
  /** A bridge's control register begins or ends to hold the functions below in reset. */
  readonly busReset: (on: boolean) => void;
  /** The SR-IOV control word, or the number of virtual functions, changed. */
  readonly sriovChanged: () => void;
  /** Interrupts may be sent now that could not before. */
  readonly interruptsChanged: () => void;
  /** A reset cleared the function's registers. */
  readonly cleared: () => void;
  /** The kernel wrote the registers back after a reset. */
  readonly restored: () => void;
}
