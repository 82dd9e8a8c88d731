import { expect, test } from 'vitest';
import { className, deviceName, deviceNames, progIfName, vendorName } from '../index.ts';

test.each([
  [0x15b3, 0x1021, 0x020700, 'Mellanox Technologies', 'MT2910 Family [ConnectX-7]', 'Infiniband controller'],
  [0x10de, 0x20b0, 0x030200, 'NVIDIA Corporation', 'GA100 [A100 SXM4 40GB]', '3D controller'],
  [
    0x1022,
    0x1482,
    0x060000,
    'Advanced Micro Devices, Inc. [AMD]',
    'Starship/Matisse PCIe Dummy Host Bridge',
    'Host bridge',
  ],
  [0x8086, 0x2030, 0x060400, 'Intel Corporation', 'Sky Lake-E PCI Express Root Port A', 'PCI bridge'],
  [
    0x144d,
    0xa80a,
    0x010802,
    'Samsung Electronics Co Ltd',
    'NVMe SSD Controller PM9A1/PM9A3/980PRO',
    'Non-Volatile memory controller',
  ],
] as const)('%i:%i of class %i', (vendor, device, classCode, vendorText, deviceText, classText) => {
  expect(deviceNames(vendor, device, classCode)).toEqual({ vendor: vendorText, device: deviceText, class: classText });
});

test('the programming interface has a name of its own', () => {
  expect(progIfName(0x010802)).toBe('NVM Express');
  expect(progIfName(0x0c0330)).toBe('XHCI');
  expect(progIfName(0x060400)).toBe('Normal decode');
  expect(progIfName(0x020000)).toBeUndefined();
});

test('what the list does not have is a number, what is not known says so', () => {
  expect(deviceNames(0x10de, 0xfffe, 0x03ff00)).toEqual({
    vendor: 'NVIDIA Corporation',
    device: 'Device fffe',
    class: 'Class 03ff',
  });
  expect(deviceNames(0xfff1, 0x0001, 0x030000)).toMatchObject({ vendor: 'Vendor fff1', device: 'Device 0001' });
  expect(deviceNames(null, null, null)).toEqual({
    vendor: 'Vendor unknown',
    device: 'Device unknown',
    class: 'Class unknown',
  });
  expect([vendorName(0xfff1), deviceName(0xfff1, 1), deviceName(0x10de, null), className(null)]).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});
