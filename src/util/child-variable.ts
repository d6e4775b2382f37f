/** Names the inheritance, in the environment of every process that a server has started, except the daemon itself. */
export const CHILD_VARIABLE = 'TSWOOLE_CHILD';
/** Of the child's channel to its parent. */
export const CONTROL_DESCRIPTOR = 3;
