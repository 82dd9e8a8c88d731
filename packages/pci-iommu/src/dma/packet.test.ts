import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { IommuProt } from '../iommu/index.ts';
import { type PciFunction, PciSystem } from '../system/index.ts';
import { BAR, NODE, smallTopology, testSystem } from '../system/test-system.ts';
import { AcsBit } from '../topology/index.ts';
import { testBar } from '../topology/test-machine.ts';
import { payloadBytes, readRequestBytes, wholePackets } from './packet.ts';

const RW = IommuProt.READ | IommuProt.WRITE;
const DEVCTL = 0x58;
const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i & 0xff);

describe('sizes of packets', () => {
  test.each([
    [0x0000, 128, 128],
    [0x2810, 128, 512],
    [0x5060, 1024, 4096],
    [0x50af, 4096, 4096],
    [0x7fff, 4096, 4096],
  ])('device control %#x: payload %d, read request %d', (control, payload, request) => {
    expect(payloadBytes(control)).toBe(payload);
    expect(readRequestBytes(control)).toBe(request);
  });

  test('packets are cut at multiples of their size', () => {
    expect(wholePackets(0x1000, 128, 128)).toBe(128);
    expect(wholePackets(0x1000, 127, 128)).toBe(0);
    expect(wholePackets(0x10f0, 32, 256)).toBe(16);
    expect(wholePackets(0x10f0, 15, 256)).toBe(0);
  });
});

describe('a transfer that fails in the middle of a packet', () => {
  /** C with a BAR of 128 bytes, with nothing behind it. */
  function tiny(machine: Parameters<typeof testSystem>[0]): PciFunction {
    const topology = smallTopology();
    const functions = topology.functions.map((fn) => (fn.bdf === NODE.C ? { ...fn, bars: [testBar(BAR.C, 128)] } : fn));
    return PciSystem.create(machine, { topology: { ...topology, functions }, iommu: false, checks: false }).function(
      NODE.C,
    );
  }

  test.each([
    [0x0000, 128, 128],
    [0x0020, 0, 128],
    [0x1000, 128, 0],
    [0x5020, 0, 0],
  ])('moved whole packets only: device control %#x', (control, written, read) => {
    using machine = testMachine();
    const c = tiny(machine);
    c.config.write(DEVCTL, 2, control);
    expect(c.dma.tryWrite(BAR.C, bytes(200))).toBe(written);
    expect(c.dma.fault).toMatchObject({ kind: 'aer-ur', address: BAR.C + 128 });
    c.dma.write(BAR.C, bytes(128));
    const into = new Uint8Array(200);
    expect(c.dma.tryReadInto(BAR.C, into)).toBe(read);
    expect(into.subarray(0, read)).toEqual(bytes(read));
    expect(into.subarray(read).every((byte) => byte === 0xff)).toBe(true);
  });

  test('ends of pages are ends of packets, however long these are', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const nic = pci.function(NODE.B);
    nic.iommu.map(0x10_0000, BAR.A2 + 0x3000, 4096, RW);
    for (const control of [0x0000, 0x50a0]) {
      nic.config.write(DEVCTL, 2, control);
      expect(nic.dma.tryWrite(0x10_0ff0, bytes(8192))).toBe(16);
    }
    nic.iommu.unmap(0x10_0000, 4096);
  });
});

describe('packets of another kind', () => {
  test('with the requester id of another function go through its domain, unless a port validates sources', () => {
    using machine = testMachine();
    const pci = testSystem(machine);
    const [b, c] = [pci.function(NODE.B), pci.function(NODE.C)];
    const page = pci.memory.allocPages(1);
    c.iommu.map(0x10_0000, page, 4096, RW);
    const spoofed = b.dma.as({ requesterId: c.topology.requesterId });
    expect(() => spoofed.write(0x10_0000, bytes(4))).toThrow(/acs-violation.*source validation/u);
    expect(pci.function(NODE.D1).config.aerStatus).toBe(0x0020_0000);
    for (const port of [NODE.D1, NODE.RP0]) {
      const { config } = pci.function(port);
      config.acsControl &= ~AcsBit.SourceValidation;
    }
    spoofed.write(0x10_0000, bytes(4));
    expect(pci.memory.cpuRead(page, 4)).toEqual(bytes(4));
    const nobody = b.dma.as({ requesterId: 0x04 * 256 + 0x18 });
    expect(() => nobody.write(0x10_0000, bytes(4))).toThrow(/iommu-fault.*blocked/u);
    c.iommu.unmap(0x10_0000, 4096);
    pci.memory.freePages(page, 1);
  });

  test('translated ones are for the root complex to trust, and for ports to block or to let through directly', () => {
    using machine = testMachine();
    const topology = smallTopology();
    const functions = topology.functions.map((fn) => (fn.bdf === NODE.B ? { ...fn, ats: true } : fn));
    const pci = PciSystem.create(machine, { topology: { ...topology, functions }, checks: false });
    const b = pci.function(NODE.B);
    const d1 = pci.function(NODE.D1).config;
    const page = pci.memory.allocPages(1);
    const translated = b.dma.as({ translated: true });
    translated.write(page, bytes(8));
    expect(pci.memory.cpuRead(page, 8)).toEqual(bytes(8));
    expect(pci.router.tableFor(b.topology, { translated: true }).find(BAR.A)).toBeNull();
    d1.acsControl |= AcsBit.DirectTranslated;
    expect(pci.router.tableFor(b.topology, { translated: true }).find(BAR.A)?.target?.bdf).toBe(NODE.A0);
    expect(pci.router.tableOf(b.topology).find(BAR.A)).toBeNull();
    translated.write(BAR.A, bytes(8));
    expect(pci.memory.cpuRead(BAR.A, 8)).toEqual(bytes(8));
    d1.acsControl |= AcsBit.TranslationBlocking;
    expect(() => translated.write(BAR.A, bytes(8))).toThrow(/acs-violation.*translation blocking/u);
    const c = pci.function(NODE.C).dma.as({ translated: true });
    expect(() => c.write(page, bytes(8))).toThrow(/iommu-fault.*without ATS/u);
    pci.memory.freePages(page, 1);
  });
});
