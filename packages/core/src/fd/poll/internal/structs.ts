import { i32, mutex, ref, refcount, struct, waitqueue, words } from '@dmabuf-emu/shm';

/*
 * Lists that a spin lock guards are singly linked and change by single stores: a task that dies inside leaves them whole.
 */

/** Words of a poll head: its spin lock, the entry added last, and the word that plain waiters sleep on. */
export const HEAD_LOCK = 0;
export const HEAD_FIRST = 1;
export const HEAD_SLEEPERS = 2;
export const HEAD_WORDS = 3;

/** Somebody who is told when a head is woken: a task that polls, or an item of an epoll file. @kernel wait_queue_entry */
export const PollEntryStruct = struct('wait_queue_entry', {
  next: ref(),
  /** Word of the head that it is on. */
  head: i32(),
  /** Task that polls; its entry holds a reference to the file. */
  task: i32(),
  file: ref(),
  /** The epoll item, 0 for a task; next entry of that item. */
  item: ref(),
  nextOfItem: ref(),
  /** Events that a task waits for. */
  key: i32(),
  exclusive: i32(),
});

/** What an epoll file is a file of. @kernel eventpoll */
export const EpollStruct = struct('eventpoll', {
  mutex: mutex('eventpoll.mtx'),
  /** The file, and one for each item. */
  refs: refcount(),
  file: ref(),
  /** Items, newest first, and those that may be ready, in order. Under the mutex. */
  items: ref(),
  readyFirst: ref(),
  readyLast: ref(),
  /** Items that became ready since the ready list was looked at, newest first. Pushed by compare-and-exchange. */
  fresh: ref(),
  waiters: waitqueue('epoll'),
  /** Those who poll the epoll file itself. */
  head: words(HEAD_WORDS),
});

/** A file in an epoll file. @kernel epitem */
export const EpollItemStruct = struct('epitem', {
  ep: ref(),
  /** Not counted: the file takes its items along when it goes. */
  file: ref(),
  fd: i32(),
  events: i32(),
  data: words(2),
  /** Next item of the epoll file (under its mutex) and next of the file (under the file's watchLock). */
  next: ref(),
  nextOfFile: ref(),
  /** Entries on the file's heads. */
  entries: ref(),
  /** On the ready list, and the neighbours there. Written under the mutex. */
  listed: i32(),
  readyNext: ref(),
  readyPrev: ref(),
  /** Task that puts or put it on the list of fresh items, 0 when it is not there. */
  fresh: i32(),
  freshNext: ref(),
  /** The file is going, and takes the item away itself. Under the file's watchLock. */
  dying: i32(),
});
