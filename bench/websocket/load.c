/*
 * Load for WebSocket servers that costs little: one thread, epoll, frames that are masked once.
 *
 *   load --port N[,N…] [--mode echo|broadcast|idle] [--connections N] [--bytes N | --payload FILE] [--in-flight N]
 *        [--seconds S] [--warm-up S] [--path P] [--publish-path P] [--deflate] [--socket-io] [--gathered] [--rate N]
 *
 * echo       every connection keeps `in-flight` messages under way.
 * broadcast  the connections (at `path`) are subscribers; one more, at `publish-path`, sends a message whenever fewer than
 *            `in-flight` have not yet arrived at all of them. Messages are deliveries.
 * idle       the connections do nothing.
 *
 * --payload FILE  is sent instead of text of `bytes`. --deflate: FILE is already compressed (permessage-deflate).
 * --gathered      messages that are due together leave in one send(2); otherwise each has its own, as most clients do it.
 * --port N,N      connections go to these ports in turn, the publisher's to the first.
 * --rate N        broadcast: so many messages a second, whatever has arrived.
 * --socket-io     packets of Socket.IO: event "m" is echoed, event "p" published. The path is its own.
 *
 * When it has warmed up it prints `measuring` and waits for a line on standard input, so that the caller can read the CPU
 * time of the server while that rests. Then it measures, prints one line of JSON, and ends. Idle: it prints `measuring`, and
 * ends with standard input.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
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

enum { MOST_IN_FLIGHT = 1024, LONGEST_HEADER = 14, DIALED_AT_ONCE = 64, MOST_EVENTS = 1024 };
enum { SLOWEST_US = 2000000, STALLED_MS = 10000, SETTLING_US = 300000, MOST_PORTS = 16, LONGEST_WAIT_MS = 100 };

static struct {
  int ports[MOST_PORTS], port_count, rate, connections, bytes, in_flight, is_broadcast, is_idle, deflate, socket_io, gathered;
  double seconds, warm_up;
  const char *path, *publish_path, *payload;
} option = {.connections = 64, .bytes = 16, .in_flight = 1, .seconds = 2, .warm_up = 1, .path = "/", .publish_path = "/publish"};

typedef struct {
  int fd;
  /* What arrives: the header's bytes so far, what is left of the payload, the message's bytes so far. */
  uint8_t header[LONGEST_HEADER];
  int header_bytes, in_payload;
  uint64_t left, message_bytes;
  /* What is sent: all frames are the same, so a place in the frame and a number of bytes say it all. */
  uint64_t owed, phase;
  int waits_for_room;
  /* Echo: when the messages under way were sent. Broadcast: `taken` messages have arrived. */
  uint64_t *sent_at, sent, taken;
} Connection;

static struct {
  uint64_t messages, last_at;
  uint32_t *histogram;
  uint64_t published, outstanding, published_at[MOST_IN_FLIGHT], publishing_since, rested_since;
} count;

static uint8_t *frames; /* `in_flight` times the frame */
static uint64_t frame_bytes, payload_bytes;
static uint8_t received[1 << 18];
static int poller;
static Connection *connections;
static Connection publisher;

static void fail(const char *what) {
  fprintf(stderr, "load: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
  exit(1);
}

static void *allocate(uint64_t count_, uint64_t bytes) {
  void *memory = calloc(count_, bytes);
  if (memory == NULL) fail("out of memory");
  return memory;
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Connecting */

static int dial(int number) {
  int port = option.ports[number % option.port_count];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) fail("socket");
  int on = 1;
  struct linger reset = {.l_onoff = 1, .l_linger = 0}; /* no TIME_WAIT for the next run */
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct timeval patience = {.tv_sec = STALLED_MS / 1000}; /* for the handshake; afterwards nothing blocks */
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  for (int tries = 0; connect(fd, (void *)&address, sizeof address) != 0; tries++) {
    if (tries == 200) fail("connect");
    usleep(20000);
  }
  return fd;
}

static void ask_upgrade(int fd, const char *path) {
  char request[1024];
  int length = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: localhost:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                        path, option.ports[0],
                        option.deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; "
                                         "server_no_context_takeover\r\n"
                                       : "");
  if (send(fd, request, (size_t)length, 0) != length) fail("the upgrade could not be sent");
}

/* Byte by byte, because frames may follow at once. */
static void await_upgrade(int fd) {
  char answer[4096];
  size_t length = 0;
  while (length < 4 || memcmp(answer + length - 4, "\r\n\r\n", 4) != 0) {
    if (length == sizeof answer - 1 || recv(fd, answer + length, 1, 0) != 1) fail("no answer to the upgrade");
    length++;
  }
  answer[length] = 0;
  errno = 0;
  if (strncmp(answer, "HTTP/1.1 101", 12) != 0) fail(answer);
  if (option.deflate && strcasestr(answer, "permessage-deflate") == NULL) fail("the server does not compress");
}

static uint64_t write_frame(uint8_t *out, const uint8_t *payload, uint64_t bytes) {
  static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
  uint64_t at = 0;
  out[at++] = option.deflate ? 0xc1 : 0x81;
  if (bytes < 126) out[at++] = (uint8_t)(0x80 | bytes);
  else if (bytes < 65536) {
    out[at++] = 0x80 | 126;
    out[at++] = (uint8_t)(bytes >> 8);
    out[at++] = (uint8_t)bytes;
  } else {
    out[at++] = 0x80 | 127;
    for (int shift = 56; shift >= 0; shift -= 8) out[at++] = (uint8_t)(bytes >> shift);
  }
  memcpy(out + at, mask, 4);
  at += 4;
  for (uint64_t i = 0; i < bytes; i++) out[at + i] = payload[i] ^ mask[i & 3];
  return at + bytes;
}

/* Only while connecting, and only short ones. */
static void skip_frame(int fd) {
  uint8_t header[4], payload[65536];
  if (recv(fd, header, 2, MSG_WAITALL) != 2) fail("no packet of Socket.IO");
  uint64_t bytes = header[1] & 127;
  if (bytes == 126) {
    if (recv(fd, header + 2, 2, MSG_WAITALL) != 2) fail("no packet of Socket.IO");
    bytes = (uint64_t)header[2] << 8 | header[3];
  }
  if (bytes > 0 && recv(fd, payload, bytes, MSG_WAITALL) != (ssize_t)bytes) fail("no packet of Socket.IO");
}

/* Engine.IO's open packet, our connect packet, the answer to it. */
static void join_socket_io(int fd) {
  uint8_t connect_packet[16];
  uint64_t bytes = write_frame(connect_packet, (const uint8_t *)"40", 2);
  skip_frame(fd);
  if (send(fd, connect_packet, bytes, 0) != (ssize_t)bytes) fail("the connect packet could not be sent");
  skip_frame(fd);
}

static void finish_upgrade(int fd) {
  await_upgrade(fd);
  if (option.socket_io) join_socket_io(fd);
}

static void connect_all(void) {
  int total = option.connections;
  connections = allocate((uint64_t)total, sizeof *connections);
  for (int first = 0; first < total; first += DIALED_AT_ONCE) {
    int end = first + DIALED_AT_ONCE < total ? first + DIALED_AT_ONCE : total;
    for (int i = first; i < end; i++) ask_upgrade(connections[i].fd = dial(i), option.path);
    for (int i = first; i < end; i++) finish_upgrade(connections[i].fd);
  }
  if (!option.is_broadcast) return;
  ask_upgrade(publisher.fd = dial(0), option.publish_path);
  finish_upgrade(publisher.fd);
  fcntl(publisher.fd, F_SETFL, O_NONBLOCK);
  usleep(SETTLING_US); /* the last of them has joined */
}

static void listen_to(Connection *connection, uint32_t events, int operation) {
  struct epoll_event event = {.events = events, .data.ptr = connection};
  if (epoll_ctl(poller, operation, connection->fd, &event) != 0) fail("epoll_ctl");
}

static void listen_to_all(void) {
  poller = epoll_create1(0);
  for (int i = 0; i < option.connections; i++) {
    connections[i].sent_at = option.is_broadcast ? count.published_at : allocate((uint64_t)option.in_flight, sizeof(uint64_t));
    fcntl(connections[i].fd, F_SETFL, O_NONBLOCK);
    listen_to(&connections[i], EPOLLIN, EPOLL_CTL_ADD);
  }
}

/* The message */

static uint8_t *read_payload(void) {
  FILE *file = fopen(option.payload, "rb");
  if (file == NULL) fail(option.payload);
  uint8_t *payload = allocate(1, 1 << 24);
  payload_bytes = fread(payload, 1, 1 << 24, file);
  fclose(file);
  return payload;
}

static uint8_t *make_text(void) {
  static const char text[] = "The quick brown fox jumps over the lazy dog. ";
  uint64_t bytes = (uint64_t)option.bytes, at = 0;
  uint8_t *payload = allocate(1, bytes + 16);
  if (option.socket_io) at = (uint64_t)sprintf((char *)payload, "42[\"%c\",\"", option.is_broadcast ? 'p' : 'm');
  for (uint64_t i = 0; i < bytes; i++) payload[at++] = (uint8_t)text[i % (sizeof text - 1)];
  if (option.socket_io) at += (uint64_t)sprintf((char *)payload + at, "\"]");
  payload_bytes = at;
  return payload;
}

static void make_frames(void) {
  uint8_t *payload = option.payload ? read_payload() : make_text();
  uint64_t room = payload_bytes + LONGEST_HEADER;
  frames = allocate((uint64_t)option.in_flight, room);
  frame_bytes = write_frame(frames, payload, payload_bytes);
  for (int i = 1; i < option.in_flight; i++) memcpy(frames + (uint64_t)i * frame_bytes, frames, frame_bytes);
  free(payload);
}

/* Sending */

static void send_owed(Connection *connection) {
  while (connection->owed > 0) {
    uint64_t all = (option.gathered ? (uint64_t)option.in_flight : 1) * frame_bytes - connection->phase;
    uint64_t bytes = connection->owed < all ? connection->owed : all;
    ssize_t written = send(connection->fd, frames + connection->phase, bytes, MSG_NOSIGNAL);
    if (written < 0 && errno != EAGAIN) fail("send");
    if (written > 0) {
      connection->owed -= (uint64_t)written;
      connection->phase = (connection->phase + (uint64_t)written) % frame_bytes;
    }
    if (written == (ssize_t)bytes) continue;
    if (!connection->waits_for_room && connection != &publisher) listen_to(connection, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    connection->waits_for_room = 1;
    return;
  }
  if (connection->waits_for_room && connection != &publisher) listen_to(connection, EPOLLIN, EPOLL_CTL_MOD);
  connection->waits_for_room = 0;
}

static void send_messages(Connection *connection, int messages, uint64_t now) {
  for (int i = 0; i < messages; i++) connection->sent_at[connection->sent++ % (uint64_t)option.in_flight] = now;
  connection->owed += (uint64_t)messages * frame_bytes;
  send_owed(connection);
}

static uint64_t due_at(uint64_t message) {
  return count.publishing_since + message * 1000000000u / (uint64_t)option.rate;
}

static int is_due(uint64_t now) {
  uint64_t subscribers = (uint64_t)option.connections;
  if (option.rate > 0) return due_at(count.published) <= now;
  return count.outstanding + subscribers <= subscribers * (uint64_t)option.in_flight;
}

/* Of the poller, in ms. */
static int longest_wait(void) {
  uint64_t now = now_ns();
  if (!option.is_broadcast || option.rate == 0) return LONGEST_WAIT_MS;
  return due_at(count.published) <= now ? 0 : (int)((due_at(count.published) - now) / 1000000 + 1);
}

static void publish(void) {
  uint64_t subscribers = (uint64_t)option.connections;
  while (recv(publisher.fd, received, sizeof received, 0) > 0) continue;
  uint64_t now = now_ns();
  if (count.publishing_since == 0) count.publishing_since = now;
  while (is_due(now)) {
    if (option.rate > 0 && count.outstanding > (MOST_IN_FLIGHT - 1) * subscribers) fail("the server does not keep up");
    count.published_at[count.published++ % MOST_IN_FLIGHT] = now;
    count.outstanding += subscribers;
    publisher.owed += frame_bytes;
  }
  send_owed(&publisher);
}

/* Receiving */

static void take_message(Connection *connection, uint64_t now) {
  /* A compressed answer may be another one than ours, and Socket.IO may say more than we. */
  if (!option.deflate && connection->message_bytes != payload_bytes) {
    fprintf(stderr, "load: a message of %llu bytes came, not of %llu\n", (unsigned long long)connection->message_bytes,
            (unsigned long long)payload_bytes);
    exit(1);
  }
  uint64_t slots = option.is_broadcast ? MOST_IN_FLIGHT : (uint64_t)option.in_flight;
  uint64_t us = (now - connection->sent_at[connection->taken++ % slots]) / 1000;
  count.histogram[us < SLOWEST_US ? us : SLOWEST_US]++;
  count.messages++;
  connection->message_bytes = 0;
  if (option.is_broadcast && count.outstanding > 0) count.outstanding--;
}

/* @returns whether the frame ended a message */
static int end_frame(Connection *connection, uint64_t now) {
  int opcode = connection->header[0] & 15, is_last = connection->header[0] & 0x80;
  connection->header_bytes = 0;
  connection->in_payload = 0;
  errno = 0;
  if (opcode == 8) fail("the server has closed a connection");
  if (option.deflate && (opcode == 1 || opcode == 2) && (connection->header[0] & 0x40) == 0)
    fail("the server has not compressed its answer");
  if (opcode > 8 || !is_last) return 0;
  take_message(connection, now);
  return 1;
}

static int header_is_whole(Connection *connection) {
  if (connection->header_bytes < 2) return 0;
  int short_length = connection->header[1] & 127;
  int extended = short_length < 126 ? 0 : short_length == 126 ? 2 : 8;
  if (connection->header_bytes < 2 + extended) return 0;
  connection->left = extended == 0 ? (uint64_t)short_length : 0;
  for (int i = 0; i < extended; i++) connection->left = connection->left << 8 | connection->header[2 + i];
  if ((connection->header[0] & 8) == 0) connection->message_bytes += connection->left;
  return connection->in_payload = 1;
}

/* @returns how many messages ended in `bytes` */
static int take_bytes(Connection *connection, const uint8_t *at, uint64_t bytes, uint64_t now) {
  const uint8_t *end = at + bytes;
  int messages = 0;
  while (at < end) {
    if (!connection->in_payload) {
      connection->header[connection->header_bytes++] = *at++;
      if (!header_is_whole(connection)) continue;
    } else {
      uint64_t step = (uint64_t)(end - at) < connection->left ? (uint64_t)(end - at) : connection->left;
      at += step;
      connection->left -= step;
    }
    if (connection->left == 0) messages += end_frame(connection, now);
  }
  return messages;
}

static void receive(Connection *connection) {
  ssize_t bytes = recv(connection->fd, received, sizeof received, 0);
  if (bytes < 0 && errno == EAGAIN) return;
  if (bytes <= 0) {
    if (bytes == 0) errno = 0;
    fail("the server has ended a connection");
  }
  uint64_t now = now_ns();
  int messages = take_bytes(connection, received, (uint64_t)bytes, now);
  if (messages == 0) return;
  count.last_at = now;
  if (!option.is_broadcast) send_messages(connection, messages, now);
}

/* Running */

static void turn(void) {
  struct epoll_event events[MOST_EVENTS];
  if (option.is_broadcast) publish();
  int ready = epoll_wait(poller, events, MOST_EVENTS, longest_wait());
  for (int i = 0; i < ready; i++) {
    Connection *connection = events[i].data.ptr;
    if (events[i].events & EPOLLOUT) send_owed(connection);
    if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(connection);
  }
}

static void run_for(double seconds) {
  uint64_t now = now_ns(), end = now + (uint64_t)(seconds * 1e9);
  count.last_at = now;
  for (; now < end; now = now_ns()) {
    turn();
    errno = 0;
    if (now > count.last_at + STALLED_MS * 1000000ull) fail("no message for 10 s");
  }
}

static void await_line(void) {
  puts("measuring");
  fflush(stdout);
  for (int byte = getchar(); byte != '\n' && byte != EOF;) byte = getchar();
}

/* What was under way has waited for the caller. */
static void start_clocks(uint64_t now) {
  count.publishing_since += option.rate > 0 ? now - count.rested_since : 0;
  for (int i = 0; option.is_broadcast && i < MOST_IN_FLIGHT; i++) count.published_at[i] = now;
  for (int i = 0; !option.is_broadcast && i < option.connections; i++)
    for (int at = 0; at < option.in_flight; at++) connections[i].sent_at[at] = now;
}

static uint64_t percentile(double share) {
  uint64_t seen = 0, us = 0;
  for (; us < SLOWEST_US; us++) {
    seen += count.histogram[us];
    if ((double)seen >= share * (double)count.messages) break;
  }
  return us;
}

static void measure(void) {
  listen_to_all();
  count.histogram = allocate(SLOWEST_US + 1, sizeof *count.histogram);
  uint64_t now = now_ns();
  for (int i = 0; !option.is_broadcast && i < option.connections; i++) send_messages(&connections[i], option.in_flight, now);
  run_for(option.warm_up);
  count.rested_since = now_ns();
  await_line();
  memset(count.histogram, 0, (SLOWEST_US + 1) * sizeof *count.histogram);
  count.messages = 0;
  uint64_t began = now_ns();
  start_clocks(began);
  run_for(option.seconds);
  double seconds = (double)(now_ns() - began) / 1e9;
  errno = 0;
  if (count.messages == 0) fail("no message came");
  printf("{\"messages\":%llu,\"seconds\":%.3f,\"perSecond\":%.0f,\"p50Us\":%llu,\"p99Us\":%llu}\n",
         (unsigned long long)count.messages, seconds, (double)count.messages / seconds,
         (unsigned long long)percentile(0.5), (unsigned long long)percentile(0.99));
}

static int number(const char *name, const char *text, int most) {
  char *end;
  long value = strtol(text, &end, 10);
  errno = 0;
  if (*end == 0 && end != text && value >= 1 && value <= most) return (int)value;
  fprintf(stderr, "load: --%s: a number from 1 to %d is expected, not %s\n", name, most, text);
  exit(2);
}

static void set_ports(char *text) {
  for (char *port = strtok(text, ","); port != NULL && option.port_count < MOST_PORTS; port = strtok(NULL, ","))
    option.ports[option.port_count++] = number("port", port, 65535);
}

static void set_mode(const char *mode) {
  option.is_broadcast = strcmp(mode, "broadcast") == 0;
  option.is_idle = strcmp(mode, "idle") == 0;
  errno = 0;
  if (!option.is_broadcast && !option.is_idle && strcmp(mode, "echo") != 0) fail("--mode: echo, broadcast or idle");
}

static void read_options(int argc, char **argv) {
  static const struct option known[] = {
      {"port", 1, 0, 'p'},      {"mode", 1, 0, 'm'},     {"connections", 1, 0, 'c'}, {"bytes", 1, 0, 'b'},
      {"payload", 1, 0, 'f'},   {"in-flight", 1, 0, 'i'}, {"seconds", 1, 0, 's'},     {"warm-up", 1, 0, 'w'},
      {"path", 1, 0, 'u'},      {"publish-path", 1, 0, 'v'}, {"deflate", 0, 0, 'd'},  {"socket-io", 0, 0, 'o'},
      {"gathered", 0, 0, 'g'},  {"rate", 1, 0, 'r'},
      {0, 0, 0, 0}};
  for (int key; (key = getopt_long(argc, argv, "", known, NULL)) != -1;) {
    switch (key) {
      case 'p': set_ports(optarg); break;
      case 'r': option.rate = number("rate", optarg, 1000000); break;
      case 'm': set_mode(optarg); break;
      case 'c': option.connections = number("connections", optarg, 1000000); break;
      case 'b': option.bytes = number("bytes", optarg, 1 << 24); break;
      case 'f': option.payload = optarg; break;
      case 'i': option.in_flight = number("in-flight", optarg, MOST_IN_FLIGHT); break;
      case 's': option.seconds = atof(optarg); break;
      case 'w': option.warm_up = atof(optarg); break;
      case 'u': option.path = optarg; break;
      case 'v': option.publish_path = optarg; break;
      case 'd': option.deflate = 1; break;
      case 'o': option.socket_io = 1; break;
      case 'g': option.gathered = 1; break;
      default: exit(2);
    }
  }
  errno = 0;
  if (option.port_count == 0) fail("--port is missing");
}

int main(int argc, char **argv) {
  read_options(argc, argv);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  make_frames();
  connect_all();
  if (option.is_idle) await_line();
  else measure();
  return 0;
}
