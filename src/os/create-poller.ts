import { DescriptorPoller } from './descriptor-poller.js';
import { EpollPoller } from './epoll-poller.js';
import { isLinux } from './libc.js';
import type { Poller, PollerHandler } from './poller.js';

export type PollerName = 'auto' | 'epoll' | 'poll';

/** 'auto': epoll where available. */
export function createPoller(name: PollerName, handler: PollerHandler): Poller {
  const epoll = name === 'epoll' || (name === 'auto' && isLinux);
  return epoll ? new EpollPoller(handler) : new DescriptorPoller(handler);
}
