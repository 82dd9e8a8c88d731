/** What poll and epoll ask for and tell. @kernel EPOLLIN, EPOLL_* */
export const PollEvents = {
  IN: 0x1,
  PRI: 0x2,
  OUT: 0x4,
  ERR: 0x8,
  HUP: 0x10,
  /** No such descriptor; poll only. */
  NVAL: 0x20,
  RDNORM: 0x40,
  RDBAND: 0x80,
  WRNORM: 0x100,
  WRBAND: 0x200,
  MSG: 0x400,
  RDHUP: 0x2000,
  /** Epoll only, as are the rest: wake one of the epolls that wait for a file. */
  EXCLUSIVE: 0x10000000,
  WAKEUP: 0x20000000,
  /** Report once, then only after the next change of the registration. */
  ONESHOT: 0x40000000,
  /** Edge-triggered: report when the file wakes its waiters, not while it is ready. */
  ET: 0x80000000,
} as const;

/** What a file that cannot be polled always is. @kernel DEFAULT_POLLMASK */
export const DEFAULT_POLL_MASK: number = PollEvents.IN | PollEvents.OUT | PollEvents.RDNORM | PollEvents.WRNORM;
