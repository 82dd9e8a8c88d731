export { className, deviceName, deviceNames, type DeviceNames, progIfName, vendorName } from './device-names.ts';
