import type { Machine } from '@dmabuf-emu/shm';

const DRIVER = 'iommu-fault';

/** An access that the IOMMU refused. */
export interface IommuFault {
  /** Ref of the domain. */
  readonly domain: number;
  /** Index of the function. */
  readonly fn: number;
  readonly iova: number;
  readonly write: boolean;
}

/** Code that is told of a domain's faults. @kernel iommu_fault_handler_t */
export interface IommuFaultHandler {
  /** Name that it is registered under. */
  readonly name: string;
  /** An access was refused. Runs in the thread of the engine, in the middle of its access: must neither sleep nor access memory as a device. */
  fault(machine: Machine, fault: IommuFault): void;
}

/** Makes a handler available in the calling thread. Returns its number. */
export function installFaultHandler(machine: Machine, handler: IommuFaultHandler): number {
  return machine.drivers.register(DRIVER, handler.name, handler);
}

/** Number of the handler of that name, registered here or not. */
export function faultHandlerId(machine: Machine, name: string): number {
  return machine.drivers.id(DRIVER, name);
}

/** @throws UsageError when the calling thread has not registered it @kernel report_iommu_fault */
export function reportFault(machine: Machine, id: number, fault: IommuFault): void {
  machine.drivers.get<IommuFaultHandler>(DRIVER, id).fault(machine, fault);
}
