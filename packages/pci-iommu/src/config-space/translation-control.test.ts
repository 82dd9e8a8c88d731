import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import {
  disableAts,
  disablePageRequests,
  disablePasid,
  enableAts,
  enablePageRequests,
  enablePasid,
  ExtCapId,
  isAtsEnabled,
  pageRequestsAllowed,
  pasidBits,
  PRI_CTRL,
  resetPageRequests,
} from './index.ts';
import { testConfig } from './test-function.ts';

const MORE = { ats: true, pri: 64, pasid: 20 };

function failing(code: string): unknown {
  return expect.objectContaining({ name: 'KernelError', code });
}

describe('translation services', () => {
  test('are enabled once, with a unit', () => {
    using machine = testMachine();
    const { config } = testConfig(machine, MORE);
    expect(isAtsEnabled(config)).toBe(false);
    expect(() => enableAts(config, 11)).toThrow(failing('EINVAL'));
    enableAts(config, 21);
    expect([isAtsEnabled(config), config.read(config.findExtCapability(ExtCapId.ATS) + 6, 2)]).toEqual([true, 0x8009]);
    expect(() => enableAts(config)).toThrow(failing('EBUSY'));
    disableAts(config);
    expect(isAtsEnabled(config)).toBe(false);
  });

  test('end with a reset', () => {
    using machine = testMachine();
    const { config, reset } = testConfig(machine, MORE);
    enableAts(config);
    enablePageRequests(config, 8);
    enablePasid(config);
    reset.functionLevelReset();
    expect([isAtsEnabled(config), pageRequestsAllowed(config), pasidBits(config)]).toEqual([false, 0, 0]);
  });
});

describe('page requests', () => {
  test('as many as asked for, or as the function can have', () => {
    using machine = testMachine();
    const { config } = testConfig(machine, MORE);
    expect(pageRequestsAllowed(config)).toBe(0);
    expect([enablePageRequests(config, 100), pageRequestsAllowed(config)]).toEqual([64, 64]);
    expect(() => enablePageRequests(config, 1)).toThrow(failing('EBUSY'));
    expect(() => resetPageRequests(config)).toThrow(failing('EBUSY'));
    config.setStatus(config.extCapabilityAt(ExtCapId.PRI) + PRI_CTRL, 0x1_0000);
    disablePageRequests(config);
    resetPageRequests(config);
    expect(config.read(config.extCapabilityAt(ExtCapId.PRI) + 6, 2)).toBe(0x100);
    expect(enablePageRequests(config, 8)).toBe(8);
  });
});

describe('address space ids', () => {
  test('have the width that the capability says', () => {
    using machine = testMachine();
    const { config } = testConfig(machine, MORE);
    expect(() => enablePasid(config, 2)).toThrow(failing('EINVAL'));
    enablePasid(config);
    expect(pasidBits(config)).toBe(20);
    disablePasid(config);
    expect(pasidBits(config)).toBe(0);
  });
});

test('a function without the capabilities has none of it', () => {
  using machine = testMachine();
  const { config } = testConfig(machine);
  for (const enable of [enableAts, enablePasid, resetPageRequests]) {
    expect(() => enable(config)).toThrow(failing('EINVAL'));
  }
  expect(() => enablePageRequests(config, 1)).toThrow(failing('EINVAL'));
  disableAts(config);
  disablePageRequests(config);
  disablePasid(config);
  expect([isAtsEnabled(config), pageRequestsAllowed(config), pasidBits(config)]).toEqual([false, 0, 0]);
});
