import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import {
  BridgeControl,
  ExtCapId,
  PowerState,
  Reg,
  SRIOV_BAR_0,
  SRIOV_CTRL,
  SRIOV_NUM_VFS,
  SRIOV_VF_OFFSET,
  SriovBit,
} from '../config-space/index.ts';
import { testBar, testBridge, testFunction, testMachine as machineOf } from '../topology/test-machine.ts';
import { PciSystem } from './pci-system.ts';
import { BAR, NODE, testSystem } from './test-system.ts';

const VF_BARS = [0x38_1000_0000, 0x38_2000_0000];
const MIB = 2 ** 20;

function sriovSystem(machine: Parameters<typeof testSystem>[0]): PciSystem {
  const vf = (bdf: string, start: number) =>
    testFunction(bdf, 'vf', { physfn: '0000:01:00.0', flr: true, pm: true, bars: [testBar(start, MIB)] });
  const sriov = {
    totalVfs: 4,
    numVfs: 2,
    vfOffset: 1,
    vfStride: 1,
    vfDevice: 0x1234,
    bars: [testBar(VF_BARS[0]!, MIB)],
  };
  return PciSystem.create(machine, {
    iommu: false,
    topology: machineOf([
      testBridge('0000:00:01.0', 'root-port', [1, 1]),
      testFunction('0000:01:00.0', 'endpoint', { flr: true, pm: true, sriov, bars: [testBar(0x38_0000_0000, MIB)] }),
      vf('0000:01:00.1', VF_BARS[0]!),
      vf('0000:01:00.2', VF_BARS[1]!),
      testBridge('0000:00:02.0', 'root-port', [2, 2]),
      testFunction('0000:02:00.0', 'endpoint', { flr: true }),
    ]),
  });
}

describe('virtual functions come and go with the SR-IOV capability', () => {
  test('VF enable', () => {
    using machine = testMachine();
    const pci = sriovSystem(machine);
    const [pf, vf, other] = ['01:00.0', '01:00.1', '02:00.0'].map((name) => pci.function(name));
    const at = pf!.config.findExtCapability(ExtCapId.SRIOV);
    expect(pf!.config.read(at + SRIOV_VF_OFFSET, 4)).toBe(0x0001_0001);
    expect([vf!.alive, vf!.config.memoryEnabled]).toEqual([true, true]);
    vf!.config.busMaster = true;
    pf!.config.write(at + SRIOV_CTRL, 2, SriovBit.MEMORY);
    expect([vf!.alive, vf!.config.read(0, 4)]).toEqual([false, 0xffff_ffff]);
    expect(other!.dma.tryWrite(VF_BARS[0]!, Uint8Array.of(1))).toBe(0);
    pf!.config.write(at + SRIOV_CTRL, 2, SriovBit.MEMORY | SriovBit.ENABLE);
    expect([vf!.alive, vf!.config.busMaster]).toEqual([true, false]);
    expect(other!.dma.tryWrite(VF_BARS[0]!, Uint8Array.of(1))).toBe(1);
  });

  test('the number of VFs can only change while they are off', () => {
    using machine = testMachine();
    const pci = sriovSystem(machine);
    const [pf, first, second] = ['01:00.0', '01:00.1', '01:00.2'].map((name) => pci.function(name));
    const at = pf!.config.findExtCapability(ExtCapId.SRIOV);
    pf!.config.write(at + SRIOV_NUM_VFS, 2, 1);
    expect(pf!.config.read(at + SRIOV_NUM_VFS, 2)).toBe(2);
    pf!.config.write(at + SRIOV_CTRL, 2, 0);
    pf!.config.write(at + SRIOV_NUM_VFS, 2, 1);
    pf!.config.write(at + SRIOV_CTRL, 2, SriovBit.MEMORY | SriovBit.ENABLE);
    expect([first!.alive, second!.alive]).toEqual([true, false]);
  });

  test('memory space of all VFs is one bit', () => {
    using machine = testMachine();
    const pci = sriovSystem(machine);
    const [pf, vf, other] = ['01:00.0', '01:00.1', '02:00.0'].map((name) => pci.function(name));
    const at = pf!.config.findExtCapability(ExtCapId.SRIOV);
    pf!.config.write(at + SRIOV_CTRL, 2, SriovBit.ENABLE);
    expect([vf!.alive, vf!.config.memoryEnabled]).toEqual([true, false]);
    expect(other!.dma.tryWrite(VF_BARS[0]!, Uint8Array.of(1))).toBe(0);
    expect(other!.dma.fault?.kind).toBe('aer-ur');
  });

  test('a reset of the physical function takes them away; the kernel’s brings them back', () => {
    using machine = testMachine();
    const pci = sriovSystem(machine);
    const [pf, vf] = ['01:00.0', '01:00.1'].map((name) => pci.function(name));
    pf!.reset.functionLevelReset();
    expect(vf!.alive).toBe(false);
    pf!.config.write(pf!.config.findExtCapability(ExtCapId.SRIOV) + SRIOV_NUM_VFS, 2, 2);
    pf!.config.write(pf!.config.findExtCapability(ExtCapId.SRIOV) + SRIOV_CTRL, 2, 9);
    expect(vf!.alive).toBe(true);
    pf!.reset.reset();
    expect(vf!.alive).toBe(true);
  });
});

test('moving the BARs of virtual functions takes them off the bus', () => {
  using machine = testMachine();
  const pci = sriovSystem(machine);
  const [pf, other] = ['01:00.0', '02:00.0'].map((name) => pci.function(name));
  const bar = pf!.config.findExtCapability(ExtCapId.SRIOV) + SRIOV_BAR_0;
  expect([pf!.config.read(bar, 4), pf!.config.read(bar + 4, 4)]).toEqual([0x1000_000c, 0x38]);
  const reaches = (): boolean => other!.dma.tryWrite(VF_BARS[1]!, Uint8Array.of(1)) === 1;
  pf!.config.write(bar + 4, 4, 0x39);
  expect(reaches()).toBe(false);
  pf!.config.write(bar + 4, 4, 0x38);
  expect(reaches()).toBe(true);
});

describe('a bridge’s bus reset', () => {
  test('holds everything below until it is cleared', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const [port, below, beside, c] = [NODE.RP0, NODE.A0, NODE.D0, NODE.C].map((name) => pci.function(name));
    port!.config.write(Reg.BRIDGE_CONTROL, 2, BridgeControl.BUS_RESET);
    expect([below!.config.inReset, beside!.config.inReset, port!.config.inReset, c!.config.inReset]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(c!.dma.tryWrite(BAR.A, Uint8Array.of(1))).toBe(0);
    port!.config.write(Reg.BRIDGE_CONTROL, 2, 0);
    expect([below!.config.inReset, below!.config.command, below!.reset.count]).toEqual([false, 0, 1]);
  });

  test('wakes functions that sleep in D3hot', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const [port, below] = [NODE.RP0, NODE.B].map((name) => pci.function(name));
    below!.config.powerState = PowerState.D3hot;
    port!.config.write(Reg.BRIDGE_CONTROL, 2, BridgeControl.BUS_RESET);
    port!.config.write(Reg.BRIDGE_CONTROL, 2, 0);
    expect([below!.config.powerState, below!.config.command]).toEqual([PowerState.D0, 0]);
  });
});

describe('bus mastering', () => {
  test('a function without it sends nothing, and can again with it', () => {
    using machine = testMachine();
    const pci = testSystem(machine, { iommu: false });
    const [c, b] = [NODE.C, NODE.B].map((name) => pci.function(name));
    c!.config.busMaster = false;
    expect([c!.dma.tryWrite(BAR.B, Uint8Array.of(1)), c!.dma.fault?.reason]).toEqual([0, 'bus master is off']);
    c!.config.busMaster = true;
    expect(c!.dma.tryWrite(BAR.B, Uint8Array.of(1))).toBe(1);
    expect(b!.config.busMaster).toBe(true);
  });
});
