export { allDevices, Device, type DeviceInfo, type DeviceKind } from './device.ts';
