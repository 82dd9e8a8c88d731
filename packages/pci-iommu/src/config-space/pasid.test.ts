import { testMachine } from '@dmabuf-emu/shm/testing';
import { describe, expect, test } from 'vitest';
import { disablePasid, enablePasid, pasidBits } from './index.ts';
import { testConfig } from './test-function.ts';

const EINVAL = expect.objectContaining({ name: 'KernelError', code: 'EINVAL' });

describe('address space ids', () => {
  test('have the width that the capability says', () => {
    using machine = testMachine();
    const { config } = testConfig(machine, { pasid: 20 });
    expect(() => enablePasid(config, 2)).toThrow(EINVAL);
    enablePasid(config);
    expect(pasidBits(config)).toBe(20);
    disablePasid(config);
    expect(pasidBits(config)).toBe(0);
  });

  test('end with a reset', () => {
    using machine = testMachine();
    const { config, reset } = testConfig(machine, { pasid: 20 });
    enablePasid(config);
    reset.functionLevelReset();
    expect(pasidBits(config)).toBe(0);
  });

  test('a function without the capability has none', () => {
    using machine = testMachine();
    const { config } = testConfig(machine);
    expect(() => enablePasid(config)).toThrow(EINVAL);
    disablePasid(config);
    expect(pasidBits(config)).toBe(0);
  });
});
