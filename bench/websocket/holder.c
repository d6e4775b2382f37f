/*
 * Holds idle WebSockets, and tells when a publication comes to each of them.
 *
 *   holder PORT CONNECTIONS FIRST_ADDRESS PATH
 *
 * The connections go to 127.0.0.FIRST_ADDRESS and the address behind it, in turn: each has its own range of ephemeral ports.
 * When all are open it prints `open`. A publication is one unmasked text frame that begins with the time at which it was
 * sent, in ns of CLOCK_MONOTONIC. When it has come to all connections, their delays in µs are printed in one line. It ends
 * with standard input, or with the first connection that ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_EVENTS = 512, DIALED_AT_ONCE = 128, MOST_BYTES = 4096, PATIENCE_S = 60 };

static void fail(const char *what) {
  fprintf(stderr, "holder: %s: %s\n", what, errno ? strerror(errno) : "");
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int dial(int port, int last_octet) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(0x7f000000u | (uint32_t)last_octet);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) fail("socket");
  struct linger reset = {.l_onoff = 1, .l_linger = 0}; /* no TIME_WAIT for the next run */
  struct timeval patience = {.tv_sec = PATIENCE_S};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  for (int tries = 0; connect(fd, (void *)&address, sizeof address) != 0; tries++) {
    if (tries == 200) fail("connect");
    usleep(20000);
  }
  return fd;
}

static void ask(int fd, const char *path) {
  char request[512];
  int length = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                        path);
  if (send(fd, request, (size_t)length, 0) != length) fail("send");
}

static void await_upgrade(int fd) {
  char answer[2048];
  size_t length = 0;
  while (length < 4 || memcmp(answer + length - 4, "\r\n\r\n", 4) != 0) {
    if (length == sizeof answer || recv(fd, answer + length, 1, 0) != 1) fail("no answer to the upgrade");
    length++;
  }
  errno = 0;
  if (strncmp(answer, "HTTP/1.1 101", 12) != 0) fail("not upgraded");
}

static void open_all(int poller, int port, int count, int first, const char *path) {
  int fds[DIALED_AT_ONCE];
  for (int done = 0; done < count;) {
    int some = count - done < DIALED_AT_ONCE ? count - done : DIALED_AT_ONCE;
    for (int i = 0; i < some; i++) ask(fds[i] = dial(port, first + (done + i) % 2), path);
    for (int i = 0; i < some; i++) {
      await_upgrade(fds[i]);
      struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};
      if (epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &event) != 0) fail("epoll_ctl");
    }
    done += some;
  }
}

/* One short frame comes in one piece. @returns its delay in µs */
static uint64_t take(int fd) {
  char bytes[MOST_BYTES + 1];
  ssize_t n = recv(fd, bytes, MOST_BYTES, 0);
  if (n <= 0) fail("a connection has ended");
  bytes[n] = 0;
  int header = (bytes[1] & 127) < 126 ? 2 : 4;
  if ((uint8_t)bytes[0] != 0x81) fail("that is no publication");
  return (now_ns() - strtoull(bytes + header, NULL, 10)) / 1000;
}

int main(int argc, char **argv) {
  if (argc != 5) fail("PORT CONNECTIONS FIRST_ADDRESS PATH");
  int count = atoi(argv[2]), taken = 0, poller = epoll_create1(0);
  uint64_t *delays = calloc((size_t)count, sizeof *delays);
  if (delays == NULL) fail("calloc");
  open_all(poller, atoi(argv[1]), count, atoi(argv[3]), argv[4]);
  struct epoll_event input = {.events = EPOLLIN, .data.fd = 0}, events[MOST_EVENTS];
  if (epoll_ctl(poller, EPOLL_CTL_ADD, 0, &input) != 0) fail("epoll_ctl");
  puts("open");
  fflush(stdout);
  for (;;) {
    int n = epoll_wait(poller, events, MOST_EVENTS, -1);
    for (int i = 0; i < n; i++) {
      if (events[i].data.fd == 0) return 0;
      delays[taken++] = take(events[i].data.fd);
      if (taken < count) continue;
      for (int j = 0; j < count; j++) printf(j == 0 ? "%lu" : " %lu", (unsigned long)delays[j]);
      puts("");
      fflush(stdout);
      taken = 0;
    }
  }
}
