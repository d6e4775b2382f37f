/** Numbers of the kernel's interface. Linux (all architectures Node runs on here) and macOS differ in many of them. */
import { isLinux } from './libc.js';

const pick = (linux: number, darwin: number): number => (isLinux ? linux : darwin);

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = pick(10, 30);
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_SEQPACKET = 5;
export const SOCK_NONBLOCK = 0x800; // Linux only
export const SOCK_CLOEXEC = 0x80000; // Linux only
export const SOL_SOCKET = pick(1, 0xffff);
export const SO_REUSEADDR = pick(2, 4);
export const SO_REUSEPORT = pick(15, 0x200);
export const SO_ERROR = pick(4, 0x1007);
export const SO_TYPE = pick(3, 0x1008);
export const SO_SNDBUF = pick(7, 0x1001);
export const SO_RCVBUF = pick(8, 0x1002);
export const SO_SNDBUFFORCE = 32; // Linux only
export const SO_RCVBUFFORCE = 33; // Linux only
export const SO_MEMINFO = 55; // Linux only
export const SO_PEERCRED = 17; // Linux only
export const SO_KEEPALIVE = pick(9, 8);
export const SO_LINGER = pick(13, 0x80);
export const SO_NOSIGPIPE = 0x1022; // macOS only
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_KEEPIDLE = pick(4, 0x10);
export const TCP_KEEPINTVL = pick(5, 0x101);
export const TCP_KEEPCNT = pick(6, 0x102);
export const TCP_DEFER_ACCEPT = 9; // Linux only
export const TCP_USER_TIMEOUT = 18; // Linux only
export const TCP_FASTOPEN = pick(23, 0x105);
export const TCP_INFO = 11; // Linux only
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = pick(26, 27);
export const MSG_NOSIGNAL = isLinux ? 0x4000 : 0;
/** More follows at once: the kernel waits for it with a packet that is not full. */
export const MSG_MORE = isLinux ? 0x8000 : 0;
export const MSG_DONTWAIT = pick(0x40, 0x80);
export const MSG_CMSG_CLOEXEC = 0x40000000; // Linux only
export const SCM_RIGHTS = 1;
export const SHUT_WR = 1;

export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_DUPFD_CLOEXEC = pick(1030, 67);
export const FD_CLOEXEC = 1;
export const O_NONBLOCK = pick(0x800, 4);

export const PROT_NONE = 0;
export const PROT_READ_WRITE = 3;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = pick(0x20, 0x1000);
export const MFD_CLOEXEC = 1;

export const FALLOC_FL_KEEP_SIZE = 1; // Linux only
export const FALLOC_FL_PUNCH_HOLE = 2; // Linux only
export const F_PUNCHHOLE = 99; // macOS only

export const EFD_CLOEXEC = 0x80000;
export const EFD_NONBLOCK = 0x800;

export const POLLERR = 0x008;
export const POLLHUP = 0x010;
export const EPOLL_CLOEXEC = 0x80000;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;
export const EPOLLRDHUP = 0x2000;
export const EPOLLET = 0x80000000;

export const PR_SET_NAME = 15;
export const PR_SET_CHILD_SUBREAPER = 36;
export const WNOHANG = 1;
export const P_ALL = 0;
export const WEXITED = 4;
export const WNOWAIT = 0x01000000; // Linux only

// io_uring, Linux only
export const SYS_io_uring_setup = 425;
export const SYS_io_uring_enter = 426;
export const IORING_SETUP_SINGLE_ISSUER = 1 << 12;
export const IORING_SETUP_DEFER_TASKRUN = 1 << 13;
export const IORING_FEAT_FAST_POLL = 1 << 5;
export const IORING_OFF_SQ_RING = 0;
export const IORING_OFF_SQES = 0x10000000;
export const IORING_ENTER_GETEVENTS = 1;
export const IORING_OP_SEND = 26;
