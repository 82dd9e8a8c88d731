// What bounds the goals that are not reached, for the list under the table of the README.
export const REASONS = {
  P2: 'the p99 of two threads is the host’s: the bare ping-pong swings as much between rounds',
  P3: 'a waiter takes the count of the completion with a read-modify-write, where the reference only loads; bare JavaScript spinning is at the goal itself',
  P5: 'two bare WebAssembly calls with the same two atomic operations take twice the time of C here; ours also notes the lock in the task’s record, so that the death of its owner is found',
  P6: 'the C library’s mutex does not collapse under two threads on this host; a C futex that spins is no faster than it',
  P9: 'a loop of bare `Atomics` without any check is 4 times C here; ours checks generations and counts, through one WebAssembly call an operation',
  P10: 'both threads share the memory bandwidth of the state words; the processor time of a cycle rises by a sixth with the second thread',
  P11: 'as P9: each side pays for its checks',
  P14: 'two translations and two look-ups of the backing a page, with the IOTLB kept observable; a bare loop without IOTLB and checks is near C',
  P16: 'the bare loop in JavaScript is 1.8 times C here',
  P17: 'as P16; an entry is written with one atomic store a batch',
  P18: 'the bare loop in JavaScript is 3 times C here: it takes a magazine of the task, with the checks that find a double free',
  P19: 'a bare ring in an `Int32Array` is 2.5 times C here; ours also reads the sequence and the clock of every 16th event',
  P25: 'a job crosses the choke points of lock, translation and fence; C does none of their checks',
  P26: 'as P25',
  P29: 'Node loads the modules of the command line one by one; nothing is bundled, so that a build is never stale',
  P30: 'processor time for the start of a thread is linear: eight bare workers take five times one on two cores',
};
