import { BlockingPoller } from './blocking-poller.js';
import { DescriptorPoller } from './descriptor-poller.js';
import { EpollPoller } from './epoll-poller.js';
import { isLinux } from './libc.js';
import type { Poller, PollerHandler } from './poller.js';

export type PollerName = 'auto' | 'epoll' | 'poll';

/** 'auto': epoll where available. */
export function createPoller(name: PollerName, handler: PollerHandler): Poller {
  return usesEpoll(name) ? new EpollPoller(handler) : new DescriptorPoller(handler);
}

/** For a thread that does nothing else: see `BlockingPoller`. */
export function createBlockingPoller(name: PollerName, handler: PollerHandler): Poller {
  return usesEpoll(name) ? new BlockingPoller(handler) : new DescriptorPoller(handler);
}

const usesEpoll = (name: PollerName): boolean => name === 'epoll' || (name === 'auto' && isLinux);
