/** In the environment of every process that a server has started, but the daemon itself: what it has inherited. */
export const CHILD_VARIABLE = 'TSWOOLE_CHILD';
