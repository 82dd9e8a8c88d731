export { Epoll, type EpollEvent, type EpollWaitOptions } from './epoll.ts';
export { EventFd } from './event-fd.ts';
export { type EpollReport } from './internal/collect.ts';
export { poll, pollAsync, type PollOptions, type PollRequest } from './poll.ts';
export { PollEvents } from './poll-events.ts';
export { PollHead, pollHead, pollHeadOf } from './poll-head.ts';
export { pollFile, PollTable } from './poll-table.ts';
