import { OpenFlags, PollEvents } from '@dmabuf-emu/core';
import { epollControl, epollCreate, epollWait, eventfd, poll } from '../../syscalls/poll.ts';
import { op, type Op } from './op.ts';
import type { OpCall } from './op-call.ts';

const EVENT_NAMES = ['IN', 'PRI', 'OUT', 'ERR', 'HUP', 'NVAL'] as const;
const IN = BigInt(PollEvents.IN);
/** Descriptors of one pollmany, and events of one epoll_wait. */
const MOST = 32;

/** Operations that wait for files. */
export const POLL_OPS: readonly Op[] = [
  op('poll', { fd: 'number', events: 'number?', timeout: 'number?' }, (call) => {
    const request = { fd: call.s32('fd'), events: pollEvents(call) };
    const [revents] = poll(call.process, [request], call.s32('timeout', 0n)) as [number];
    call.returns(revents === 0 ? 0 : 1);
    call.set('revents', eventNames(revents));
  }),
  op('pollmany', { fds: 'numbers', events: 'number?', timeout: 'number?' }, (call) => {
    const events = pollEvents(call);
    const fds = call.list('fds').slice(0, MOST);
    const requests = fds.map((text) => ({ fd: Number(BigInt.asIntN(32, call.evaluate(text))), events }));
    const ready = poll(call.process, requests, call.s32('timeout', 0n)).map((revents) => revents !== 0);
    call.returns(ready.filter(Boolean).length);
    call.set('ready', ready);
  }),
  op('epoll_create', {}, (call) => call.returnsFd(epollCreate(call.process, OpenFlags.CLOEXEC))),
  op('epoll_add', { ep: 'number', fd: 'number', events: 'number?', tag: 'number?' }, (call) => change(call, 'add')),
  op('epoll_mod', { ep: 'number', fd: 'number', events: 'number?', tag: 'number?' }, (call) => change(call, 'modify')),
  op('epoll_del', { ep: 'number', fd: 'number' }, (call) => {
    epollControl(call.process, call.s32('ep'), 'remove', call.s32('fd'));
    call.returns(0);
  }),
  op('epoll_wait', { ep: 'number', timeout: 'number?' }, (call) => {
    const reports = epollWait(call.process, call.s32('ep'), MOST, call.s32('timeout', 0n));
    call.returns(reports.length);
    call.set(
      'tags',
      reports.map(({ data }) => data),
    );
    if (reports.length === 1) call.set('revents', eventNames(reports[0]!.events));
  }),
  op('eventfd', { init: 'number?' }, (call) =>
    call.returnsFd(eventfd(call.process, call.u32('init', 0n), OpenFlags.CLOEXEC | OpenFlags.NONBLOCK)),
  ),
];

function change(call: OpCall, operation: 'add' | 'modify'): void {
  const event = { events: call.u32('events', IN), data: call.u64('tag', 0n) };
  epollControl(call.process, call.s32('ep'), operation, call.s32('fd'), event);
  call.returns(0);
}

/** What poll(2) is asked for: 16 bits. */
function pollEvents(call: OpCall): number {
  return call.u32('events', IN) & 0xffff;
}

function eventNames(events: number): string {
  return EVENT_NAMES.filter((name) => (events & PollEvents[name]) !== 0).join('|');
}
