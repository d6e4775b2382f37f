import { takeProfile } from '../util/profile.js';
import type { ProfileAnswer, ProfileOrder } from './message.js';

/** Takes a profile of this process, and says what became of it. Never throws. */
export async function answerProfile(order: ProfileOrder): Promise<ProfileAnswer> {
  const { request } = order;
  try {
    await takeProfile(order);
    return { type: 'profiled', request };
  } catch (error) {
    return { type: 'profiled', request, failed: (error as Error).message };
  }
}
