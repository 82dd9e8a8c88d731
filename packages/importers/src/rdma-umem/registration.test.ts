import { checkRegistration, MrAccess } from '@dmabuf-emu/importers';
import { describe, expect, it } from 'vitest';

const { LOCAL_WRITE, REMOTE_WRITE, REMOTE_READ, REMOTE_ATOMIC, RELAXED_ORDERING } = MrAccess;
const einval = expect.objectContaining({ code: 'EINVAL' });

// spec: drivers §6.5
describe('registering a window of a buffer', () => {
  it.each([
    [{ offset: 0, length: 4096 }],
    [{ offset: 0x1010, length: 100, iova: 0x7000_0010 }],
    [{ offset: 0, length: 1, access: LOCAL_WRITE | REMOTE_WRITE | REMOTE_READ | REMOTE_ATOMIC | RELAXED_ORDERING }],
    [{ offset: 0, length: 1, access: REMOTE_READ }],
  ])('accepts %o', (info) => {
    expect(() => checkRegistration(info)).not.toThrow();
  });

  it.each([
    [{ offset: 0x10, length: 4096, iova: 0x20 }, /same place of a page, got 16 and 32/],
    [{ offset: 0, length: 1, access: 64 }, /access flags 0x40 outside 0x10000f/],
    [{ offset: 0, length: 1, access: REMOTE_WRITE }, /need LOCAL_WRITE/],
    [{ offset: 0, length: 1, access: REMOTE_ATOMIC }, /need LOCAL_WRITE/],
  ])('refuses %o', (info, message) => {
    expect(() => checkRegistration(info)).toThrow(einval);
    expect(() => checkRegistration(info)).toThrow(message);
  });
});
