/*
 * The probes and hooks of a container whose command may be stopped while its pod stays; each runs in a process of its
 * own, as the container's user, because the kubelet execs it. Where the data goes next: the exit code and one line of
 * reason to the kubelet, and so to the pod's events.
 *
 * A command that is stopped is alive, not ready, and has no hooks. Who does not know how it is takes it for running:
 * then a probe is what it is in any pod.
 */
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	PORT_HIGHEST = 65535,
	SERVICE_LONGEST = 1024,
	TIMEOUT_USUAL = 1000, /* the API's default */
	TIMEOUT_LONGEST = 24 * 60 * 60 * 1000,
	SECONDS_LONGEST = 0x7fffffff,
	LINE_LONGEST = 63, /* of the state file */
};
static const long budget_longest = 31L * 24 * 60 * 60 * 1000;
static const long start_latest = 1000L * 1000 * 1000 * 1000 * 1000;

struct attempt {
	enum { EXEC, HTTP, TCP, GRPC, SLEEP } kind;
	char **command;
	long port;
	const char *host; /* NULL: the pod's own address */
	const char *path;
	char **headers; /* "-H", "Name: value", ..., NULL */
	const char *service;
	long seconds;
};

struct state {
	const char *word;
	int up;
	long start; /* the latest, CLOCK_BOOTTIME ms; 0: unknown */
};

/* A line on stdout, for the pod's events; 1, which is what a probe that failed exits with. */
int no(const char *act, const char *name, const char *why)
{
	const char *const parts[] = {act, *name ? " " : "", name, *act ? ": " : "", why, "\n"};

	say(STDOUT_FILENO, parts, sizeof parts / sizeof *parts);
	return 1;
}

static int whole(const char *text, long highest, long *value)
{
	const char *rest = text ? number(text, highest, value) : NULL;

	return rest && !*rest;
}

static int parse_server(char **words, struct attempt *what)
{
	if (!whole(*words, PORT_HIGHEST, &what->port) || !what->port)
		return 0;
	words++;
	if (what->kind == HTTP && (!(what->path = *words++) || !is_target(what->path)))
		return 0;
	if ((what->host = option(&words, "-h")) && !is_address(what->host))
		return 0;
	if (what->kind == GRPC) {
		what->service = *words ? *words++ : "";
		return !*words && strlen(what->service) <= SERVICE_LONGEST;
	}
	what->headers = words;
	while (what->kind == HTTP && *words && !strcmp(*words, "-H") && words[1] && is_header(words[1]))
		words += 2;
	return !*words;
}

static int parse(char **words, struct attempt *what)
{
	static const char *const kinds[] = {[EXEC] = "exec", [HTTP] = "http", [TCP] = "tcp", [GRPC] = "grpc",
					    [SLEEP] = "sleep"};
	int kind = EXEC;

	if (!*words)
		return 0;
	while (strcmp(*words, kinds[kind]))
		if (kind++ == SLEEP)
			return 0;
	*what = (struct attempt){.kind = kind, .command = words + 2};
	words++;
	if (kind == EXEC)
		return *words && !strcmp(*words, "--") && *what->command;
	if (kind == SLEEP)
		return whole(*words, SECONDS_LONGEST, &what->seconds) && !words[1];
	return parse_server(words, what);
}

static struct state read_state(void)
{
	static const char *const words[] = {"running", "starting", "stopping", "stopped", "frozen"};
	const struct state unknown = {.word = "running", .up = 1};
	int fd = open(STATE_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct state state = unknown;
	char line[LINE_LONGEST + 1];
	const char *rest;
	ssize_t size = fd < 0 ? 0 : read(fd, line, LINE_LONGEST);

	if (fd >= 0)
		close(fd);
	line[size > 0 ? size : 0] = '\0';
	if (size <= 0 || strlen(line) != (size_t)size)
		return unknown;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		size_t length = strlen(words[i]);

		if (strncmp(line, words[i], length) || line[length] != ' ')
			continue;
		rest = number(line + length + 1, start_latest, &state.start);
		if (!rest || (*rest && strcmp(rest, "\n")))
			return unknown;
		state.word = words[i];
		state.up = i < 2;
		return state;
	}
	return unknown;
}

/* Stopped meanwhile, or started so short a time ago that a pod's startup probe would still bear with it. */
static int is_excused(long budget)
{
	const struct state state = read_state();
	long age = clock_ms(CLOCK_BOOTTIME) - state.start;

	return !state.up || (state.start && age >= 0 && age < budget);
}

/* The command as a child, because its failure may not count; its exit code. */
static int run(char **command, long timeout)
{
	const long deadline = clock_ms(CLOCK_MONOTONIC) + timeout;
	struct inherited before;
	struct signalfd_siginfo info;
	struct pollfd ready = {.fd = block_signals(&before), .events = POLLIN};
	pid_t child;
	int status;

	if (ready.fd < 0)
		return fail("signalfd", "", errno, EXIT_OURS);
	child = start(NULL, command, &before);
	if (child < 0)
		return -child;
	while (poll(&ready, 1, (int)time_until(deadline)) > 0) {
		if (next_signal(ready.fd, &info) < 0)
			return fail("read", "signalfd", errno, EXIT_OURS);
		if (info.ssi_signo != SIGCHLD)
			kill(child, (int)info.ssi_signo);
		else if (waitpid(child, &status, WNOHANG) == child)
			return exit_code(status);
	}
	/* As the kubelet does when we say nothing; but then it would count. What is dead the container's init reaps. */
	kill(-child, SIGKILL);
	return no("exec", command[0], "no end in time");
}

static int sleep_for(long seconds)
{
	struct timespec left = {.tv_sec = seconds};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
	return 0;
}

static int try(const struct attempt *what, long timeout, int is_hook)
{
	struct peer peer = {.deadline = timeout ? clock_ms(CLOCK_MONOTONIC) + timeout : 0};
	int status;
	char digits[] = "status 000";

	if (dial(&peer, what->host, what->port))
		return 1;
	if (what->kind == TCP)
		return 0;
	if (what->kind == GRPC)
		return check_health(&peer, what->service);
	status = http_get(&peer, what->path, what->headers,
			  is_hook ? "kube-lifecycle/stoppablecontainer" : "kube-probe/stoppablecontainer");
	if (status < 0)
		return 1;
	/* The kubelet takes any answer to a hook for success. */
	if (is_hook || (status >= 200 && status < 400))
		return 0;
	for (char *last = digits + sizeof digits - 2; status; status /= 10)
		*last-- = (char)('0' + status % 10);
	return no("http", peer.name, digits);
}

int probe(char **argv)
{
	const char *budget_ms = option(&argv, "-b"), *timeout_ms = option(&argv, "-t");
	long budget = 0, timeout = TIMEOUT_USUAL;
	int code, live = *argv && !strcmp(*argv, "live");
	struct attempt what;
	struct state state;

	if ((budget_ms && !whole(budget_ms, budget_longest, &budget)) ||
	    (timeout_ms && (!whole(timeout_ms, TIMEOUT_LONGEST, &timeout) || !timeout)) ||
	    !(live || (*argv && !strcmp(*argv, "ready"))) || !parse(argv + 1, &what) || what.kind == SLEEP)
		return WRONG_USAGE;
	state = read_state();
	if (!state.up)
		return live ? 0 : no("", "", state.word);
	if (what.kind == EXEC && !(live && is_excused(budget)))
		return replace(what.command);
	code = what.kind == EXEC ? run(what.command, timeout) : try(&what, timeout, 0);
	return code && live && is_excused(budget) ? 0 : code;
}

int hook(char **argv)
{
	struct attempt what;

	if (!*argv || (strcmp(*argv, "post-start") && strcmp(*argv, "pre-stop")) || !parse(argv + 1, &what) ||
	    what.kind == TCP || what.kind == GRPC)
		return WRONG_USAGE;
	if (!read_state().up)
		return 0;
	if (what.kind == EXEC)
		return replace(what.command);
	return what.kind == SLEEP ? sleep_for(what.seconds) : try(&what, 0, 1);
}
