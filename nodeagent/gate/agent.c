/*
 * The connection to the node agent, and the only place where what it says is read. Where the data goes next: orders to
 * supervise.c, answers to the agent.
 *
 * One message a packet, ASCII, without an end of line. Each connection begins with our hello.
 *   agent: `start`, `stop GRACE_MS SIGNAL`
 *   gate:  `hello 1 stopped`, `hello 1 running PID`, `hello 1 stopping`, `started PID`, `stopped`
 * A message that is none of these ends the connection, and the next one is made as after any other end.
 */
#include "gate.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
	MESSAGE_LONGEST = 64,
	GRACE_LONGEST = 24 * 60 * 60 * 1000,
	SIGNAL_HIGHEST = 64,
	RECONNECT_MS = 200,
	DIGITS = 12, /* more than a pid has */
};

int make_timer(void)
{
	return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
}

/* Runs out once, after so many milliseconds; 0: never. Forgets that it had run out. */
void set_timer(int timer, long ms)
{
	const struct itimerspec in = {.it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}};

	timerfd_settime(timer, 0, &in, NULL);
}

long time_left(int timer)
{
	struct itimerspec in;

	timerfd_gettime(timer, &in);
	return in.it_value.tv_sec * 1000 + in.it_value.tv_nsec / 1000000;
}

int set_address(struct agent *agent, const char *path)
{
	agent->socket = -1;
	agent->address.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof agent->address.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(agent->address.sun_path, path);
	return 0;
}

static void hang_up(struct agent *agent)
{
	close(agent->socket);
	agent->socket = -1;
	set_timer(agent->retry, RECONNECT_MS);
}

int call_agent(struct agent *agent)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	set_timer(agent->retry, RECONNECT_MS);
	if (fd < 0)
		return 0;
	if (connect(fd, (const struct sockaddr *)&agent->address, sizeof agent->address) < 0) {
		close(fd);
		return 0;
	}
	set_timer(agent->retry, 0);
	agent->socket = fd;
	return 1;
}

void tell(struct agent *agent, const char *words, pid_t pid)
{
	char digits[DIGITS], *end = digits + sizeof digits, *first = end;
	struct iovec pieces[2] = {{.iov_base = (void *)words, .iov_len = strlen(words)}};
	const struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};

	if (agent->socket < 0)
		return;
	for (; pid; pid /= 10)
		*--first = '0' + pid % 10;
	pieces[1] = (struct iovec){.iov_base = first, .iov_len = end - first};
	/* An agent that does not read its answers is as good as none: the next hello says how it is. */
	if (sendmsg(agent->socket, &message, MSG_NOSIGNAL) < 0)
		hang_up(agent);
}

/* A decimal number up to `highest`; what follows it, or NULL. */
const char *number(const char *text, long highest, long *value)
{
	const char *next = text;

	for (*value = 0; *next >= '0' && *next <= '9'; next++) {
		*value = *value * 10 + *next - '0';
		if (*value > highest)
			return NULL;
	}
	return next == text ? NULL : next;
}

static enum order parse(const char *message, long *grace, long *signal)
{
	static const char stop[] = "stop ";
	const char *next;

	if (!strcmp(message, "start"))
		return ORDER_START;
	if (strncmp(message, stop, sizeof stop - 1))
		return ORDER_NONE;
	next = number(message + sizeof stop - 1, GRACE_LONGEST, grace);
	if (!next || *next != ' ')
		return ORDER_NONE;
	next = number(next + 1, SIGNAL_HIGHEST, signal);
	return next && !*next && *signal > 0 ? ORDER_STOP : ORDER_NONE;
}

enum order hear(struct agent *agent, long *grace, long *signal)
{
	char message[MESSAGE_LONGEST + 1];
	enum order order = ORDER_NONE;
	ssize_t size = recv(agent->socket, message, MESSAGE_LONGEST, MSG_TRUNC); /* of a longer one: its true size */

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return ORDER_NONE;
	if (size > 0 && size <= MESSAGE_LONGEST) {
		message[size] = '\0';
		if (strlen(message) == (size_t)size)
			order = parse(message, grace, signal);
	}
	if (order == ORDER_NONE)
		hang_up(agent);
	return order;
}
