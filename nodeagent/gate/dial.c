/*
 * Connections to the server that is probed: its address, and every wait bounded by one deadline. Where the data goes
 * next: bytes to http.c and grpc.c.
 */
#include "gate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT_OF_NOBODY = 9 };

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

long clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* For poll: how long still, at least 0; -1 when there is no deadline. */
long time_until(long deadline)
{
	long left = deadline - clock_ms(CLOCK_MONOTONIC);

	if (!deadline)
		return -1;
	return left > 0 ? left : 0;
}

static socklen_t size_of(const union address *address)
{
	return address->any.sa_family == AF_INET ? sizeof address->v4 : sizeof address->v6;
}

/* A literal alone: a name would need a resolver, and the container's own opinion of who has it. */
static int parse(const char *host, long port, union address *address)
{
	memset(address, 0, sizeof *address);
	if (inet_pton(AF_INET, host, &address->v4.sin_addr) == 1) {
		address->v4.sin_family = AF_INET;
		address->v4.sin_port = htons((uint16_t)port);
		return 1;
	}
	if (inet_pton(AF_INET6, host, &address->v6.sin6_addr) != 1)
		return 0;
	address->v6.sin6_family = AF_INET6;
	address->v6.sin6_port = htons((uint16_t)port);
	return 1;
}

int is_address(const char *host)
{
	union address address;

	return parse(host, 0, &address);
}

/* The pod's own, from which it would write to the world: the kubelet probes there, not on the loopback. */
static void own_address(long port, union address *own)
{
	static const char *const anywhere[] = {"192.0.2.1", "2001:db8::1"}; /* in documents alone; nothing is sent */

	for (size_t i = 0; i < sizeof anywhere / sizeof *anywhere; i++) {
		union address there;
		socklen_t size = sizeof *own;
		int fd, found;

		parse(anywhere[i], PORT_OF_NOBODY, &there);
		fd = socket(there.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		found = connect(fd, &there.any, size_of(&there)) == 0 && getsockname(fd, &own->any, &size) == 0;
		close(fd);
		if (!found)
			continue;
		/* The port has the same place in both. */
		own->v4.sin_port = htons((uint16_t)port);
		return;
	}
	parse("127.0.0.1", port, own);
}

static void write_name(const union address *address, long port, char *name, size_t size)
{
	int is_v6 = address->any.sa_family == AF_INET6;
	const void *bytes = is_v6 ? (const void *)&address->v6.sin6_addr : (const void *)&address->v4.sin_addr;
	char digits[] = "]:00000", *first = digits + sizeof digits - 1;

	name[0] = '[';
	inet_ntop(address->any.sa_family, bytes, name + is_v6, (socklen_t)(size - sizeof digits));
	for (; port; port /= 10)
		*--first = (char)('0' + port % 10);
	*--first = ':';
	if (is_v6)
		*--first = ']';
	strcat(name, first);
}

/* True when there is something; false with ETIMEDOUT when the time is over. */
static int wait_for(const struct peer *peer, short events)
{
	struct pollfd ready = {.fd = peer->socket, .events = events};
	int got;

	do
		got = poll(&ready, 1, (int)time_until(peer->deadline));
	while (got < 0 && errno == EINTR);
	if (got == 0)
		errno = ETIMEDOUT;
	return got > 0;
}

static int knock(const struct peer *peer, const union address *address)
{
	int error = 0;
	socklen_t size = sizeof error;

	if (connect(peer->socket, &address->any, size_of(address)) == 0)
		return 0;
	if (errno != EINPROGRESS || !wait_for(peer, POLLOUT))
		return -1;
	if (getsockopt(peer->socket, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -1;
	errno = error;
	return error ? -1 : 0;
}

/* 0 when connected; else 1, and why has been said. */
int dial(struct peer *peer, const char *host, long port)
{
	const struct linger none = {.l_onoff = 1}; /* no TIME_WAIT after each probe; as the kubelet does */
	union address address;

	if (host)
		parse(host, port, &address);
	else
		own_address(port, &address);
	write_name(&address, port, peer->name, sizeof peer->name);
	peer->socket = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (peer->socket < 0)
		return no("socket", "", strerror(errno));
	setsockopt(peer->socket, SOL_SOCKET, SO_LINGER, &none, sizeof none);
	if (knock(peer, &address) < 0)
		return no("connect", peer->name, errno == ETIMEDOUT ? "no answer in time" : strerror(errno));
	return 0;
}

/* All of it; -1 when that is impossible. */
int deliver(struct peer *peer, const void *bytes, size_t size)
{
	for (const char *next = bytes; size;) {
		ssize_t sent = send(peer->socket, next, size, MSG_NOSIGNAL);

		if (sent >= 0) {
			next += sent;
			size -= (size_t)sent;
		} else if (errno != EINTR && (errno != EAGAIN || !wait_for(peer, POLLOUT))) {
			return -1;
		}
	}
	return 0;
}

/* What is there, 0 at the end; -1 with ETIMEDOUT when the time is over, also while there is always more. */
ssize_t receive(struct peer *peer, void *buffer, size_t size)
{
	ssize_t got;

	do {
		if (!wait_for(peer, POLLIN))
			return -1;
		if (time_until(peer->deadline) == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		got = recv(peer->socket, buffer, size, 0);
	} while (got < 0 && (errno == EINTR || errno == EAGAIN));
	return got;
}

/* Says why nothing more came; `got` is what receive had for it. */
int unheard(const struct peer *peer, ssize_t got)
{
	if (got == 0)
		return no("read", peer->name, "the server hung up before it had answered");
	return no("read", peer->name, errno == ETIMEDOUT ? "no answer in time" : strerror(errno));
}
