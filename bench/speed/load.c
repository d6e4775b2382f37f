/* The load of what wrk cannot make: load MODE PORT CONNECTIONS SECONDS
   echo, tls, udp: one message of 64 bytes in flight per connection, plain, encrypted, by datagrams.
   handshakes: connect, (with TLS) shake hands, one message, close, again.
   idle: opens the connections and holds them until its input ends.
   Warms up, prints `measuring`, then {"count":…,"seconds":…,"p50Us":…,"p99Us":…,"errors":…}.
   Built with -DWITH_TLS where OpenSSL's headers are. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#endif

enum { MESSAGE = 64, SLOWEST_US = 1000000, LOST_MS = 100, WARM_UP_MS = 2000, MOST_EVENTS = 256, AT_ONCE = 200 };

typedef struct {
  int fd, missing;
  uint64_t sent_at;
#ifdef WITH_TLS
  SSL *ssl;
  int shaken;
#endif
} Connection;

static struct {
  int udp, tls, again, idle, port, connections;
  double seconds;
} option;
static struct {
  uint64_t count, errors;
  uint64_t histogram[SLOWEST_US + 1];
} seen;
static int poller;
static Connection *connections;
static const char message[MESSAGE] = "sixty-four bytes, which every server sends back as they came....";
#ifdef WITH_TLS
static SSL_CTX *context;
#endif

static uint64_t now_us(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int read_some(Connection *c, char *space, int size) {
#ifdef WITH_TLS
  if (option.tls) {
    int read = SSL_read(c->ssl, space, size);
    if (read > 0) return read;
    return SSL_get_error(c->ssl, read) == SSL_ERROR_WANT_READ ? 0 : -1;
  }
#endif
  ssize_t read = recv(c->fd, space, (size_t)size, 0);
  if (read > 0) return (int)read;
  return read < 0 && errno == EAGAIN ? 0 : -1;
}

static void send_one(Connection *c) {
  int written;
  c->missing = MESSAGE;
  if (!option.again) c->sent_at = now_us();
#ifdef WITH_TLS
  if (option.tls) written = SSL_write(c->ssl, message, MESSAGE);
  else
#endif
    written = (int)send(c->fd, message, MESSAGE, MSG_NOSIGNAL);
  if (written != MESSAGE) seen.errors++;
}

static void begin(Connection *c) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)option.port)};
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  int one = 1;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c->sent_at = now_us();
  c->fd = socket(AF_INET, option.udp ? SOCK_DGRAM : SOCK_STREAM, 0);
  if (c->fd < 0 || connect(c->fd, (void *)&address, sizeof address) != 0) fail("connect");
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  if (!option.udp) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) != 0) fail("epoll_ctl");
#ifdef WITH_TLS
  if (option.tls) {
    c->shaken = 0;
    c->ssl = SSL_new(context);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_connect_state(c->ssl);
    SSL_do_handshake(c->ssl);
    return;
  }
#endif
  if (!option.idle) send_one(c);
}

static void end(Connection *c) {
#ifdef WITH_TLS
  if (option.tls) {
    SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
  }
#endif
  close(c->fd);
}

static void lost(Connection *c) {
  seen.errors++;
  end(c);
  begin(c);
}

/* @returns whether messages can be sent */
static int is_open(Connection *c) {
#ifdef WITH_TLS
  if (!option.tls || c->shaken) return 1;
  int done = SSL_do_handshake(c->ssl);
  if (done != 1) {
    if (SSL_get_error(c->ssl, done) != SSL_ERROR_WANT_READ) lost(c);
    return 0;
  }
  c->shaken = 1;
  send_one(c);
  return 0;
#else
  (void)c;
  return 1;
#endif
}

static void take(Connection *c) {
  static char space[65536];
  if (!is_open(c)) return;
  int read = read_some(c, space, sizeof space);
  if (read == 0) return;
  if (read < 0) {
    lost(c);
    return;
  }
  c->missing -= read;
  if (c->missing > 0) return;
  if (c->missing < 0 || memcmp(space + read - 1, message + MESSAGE - 1, 1) != 0) seen.errors++;
  uint64_t us = now_us() - c->sent_at;
  seen.histogram[us < SLOWEST_US ? us : SLOWEST_US]++;
  seen.count++;
  if (!option.again) {
    send_one(c);
    return;
  }
  end(c);
  begin(c);
}

/* A datagram may be lost; its sender goes on. */
static void send_again(uint64_t now) {
  for (int i = 0; i < option.connections; i++)
    if (now > connections[i].sent_at + LOST_MS * 1000) {
      seen.errors++;
      send_one(&connections[i]);
    }
}

static void run_for(double seconds) {
  struct epoll_event events[MOST_EVENTS];
  uint64_t now = now_us(), until = now + (uint64_t)(seconds * 1e6), looked_at = now;
  for (; now < until; now = now_us()) {
    int ready = epoll_wait(poller, events, MOST_EVENTS, 50);
    for (int i = 0; i < ready; i++) take(events[i].data.ptr);
    if (!option.udp || now < looked_at + LOST_MS * 1000) continue;
    looked_at = now;
    send_again(now);
  }
}

static uint64_t percentile(double share) {
  uint64_t passed = 0, us = 0;
  for (; us < SLOWEST_US; us++) {
    passed += seen.histogram[us];
    if ((double)passed >= share * (double)seen.count) break;
  }
  return us;
}

static void measure(void) {
  run_for(WARM_UP_MS / 1000.0);
  memset(&seen, 0, sizeof seen);
  puts("measuring");
  fflush(stdout);
  uint64_t began = now_us();
  run_for(option.seconds);
  double seconds = (double)(now_us() - began) / 1e6;
  printf("{\"count\":%llu,\"seconds\":%.4f,\"p50Us\":%llu,\"p99Us\":%llu,\"errors\":%llu}\n",
         (unsigned long long)seen.count, seconds, (unsigned long long)percentile(0.5),
         (unsigned long long)percentile(0.99), (unsigned long long)seen.errors);
}

static void hold(void) {
  puts("measuring");
  fflush(stdout);
  while (getchar() != EOF) continue;
}

static void set_mode(const char *mode, const char *secured) {
  option.udp = strcmp(mode, "udp") == 0;
  option.again = strcmp(mode, "handshakes") == 0;
  option.tls = option.again || strcmp(mode, secured) == 0;
  option.idle = strcmp(mode, "idle") == 0;
#ifdef WITH_TLS
  context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
#else
  if (option.tls) fail("built without OpenSSL");
#endif
}

int main(int argc, char **argv) {
  struct rlimit files;
  if (argc != 5) return 2;
  set_mode(argv[1], "tls");
  option.port = atoi(argv[2]);
  option.connections = atoi(argv[3]);
  option.seconds = atof(argv[4]);
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  poller = epoll_create1(0);
  connections = calloc((size_t)option.connections, sizeof *connections);
  for (int i = 0; i < option.connections; i++) {
    begin(&connections[i]);
    if (option.idle && i % AT_ONCE == AT_ONCE - 1) usleep(10000); /* the backlog is not what is measured */
  }
  if (option.idle) hold();
  else measure();
  return 0;
}
