/** Names the inheritance, in the environment of every process that a server has started, except the daemon itself. */
export const CHILD_VARIABLE = 'TSWOOLE_CHILD';
