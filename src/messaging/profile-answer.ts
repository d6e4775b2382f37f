import type { ProfileAnswer, ProfileOrder } from '../ipc/message.js';
import { writeProfile } from '../util/profile.js';
import { leaveProfile } from './left-profile.js';
import type { Overflow } from './overflow.js';

/** Takes a profile of this process, and returns the outcome. Never throws. */
export async function answerProfile(order: ProfileOrder, overflow: Overflow): Promise<ProfileAnswer> {
  const { request, path } = order;
  try {
    if (path === '') return { type: 'profiled', request, pieces: await leaveProfile(order, overflow) };
    await writeProfile(order, path);
    return { type: 'profiled', request };
  } catch (error) {
    return { type: 'profiled', request, failed: (error as Error).message };
  }
}
