export { readLiveMachine, readSysfs } from './read-sysfs.ts';
export { rawFunctionFromSysfs, type SysfsFunction } from './sysfs-function.ts';
