import { runTestWorker } from '@dmabuf-emu/shm/testing';
import { abi, installUapi, Process, type ProcessHandle, sys } from '@dmabuf-emu/uapi';

/** A thread of a program: begins a CPU access to `fd`, which waits for a fence; then leaves. */
await runTestWorker((machine, { process: handle, fd }: { process: ProcessHandle; fd: number }) => {
  installUapi(machine);
  const process = Process.join(machine, handle);
  const { struct, number } = abi.DMA_BUF_IOCTL_SYNC;
  const ret = process.memory.stack.with(struct.encode({ flags: 3n }), (address) =>
    sys.ioctl(process, fd, number, address),
  );
  process.exitThread();
  return ret;
});
