/*
 * The first process of the provider (hold) and of the consumer (init, supervise): waits, forwards signals, reaps,
 * passes the exit code on. Where the data goes next: the exit code to the kubelet, as if the command had been the
 * first process; in supervise also what runs to the node agent. The probes and hooks of such a container run beside it
 * (probe.c).
 *
 * It runs in any image, also in one that holds a single static binary: no /proc, no /dev, no shell, no heap.
 */
#include "gate.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define VERSION "0.1.0"

enum { NAME_SHOWN = 256 }; /* bytes of the command's name in a message */

void say(int fd, const char *const parts[], int count)
{
	struct iovec pieces[8];

	for (int i = 0; i < count; i++) {
		pieces[i].iov_base = (void *)parts[i];
		pieces[i].iov_len = strnlen(parts[i], NAME_SHOWN);
	}
	/* One call, so that the line is not torn; a log that nobody reads changes nothing. */
	if (writev(fd, pieces, count) < 0)
		return;
}

int fail(const char *act, const char *name, int error, int code)
{
	const char *const parts[] = {"stoppablecontainer: ", act, *name ? " " : "", name, ": ", strerror(error), "\n"};

	say(STDERR_FILENO, parts, sizeof parts / sizeof *parts);
	return code;
}

/* Reaps everything that has ended; true when `wanted` is among it. */
static int reap(pid_t wanted, int *status)
{
	pid_t pid;
	int any;

	while ((pid = waitpid(-1, &any, WNOHANG)) > 0) {
		if (pid == wanted) {
			*status = any;
			return 1;
		}
	}
	return 0;
}

static int hold(void)
{
	struct inherited before;
	struct signalfd_siginfo info;
	int status, signals = block_signals(&before);

	if (signals < 0)
		return fail("signalfd", "", errno, EXIT_OURS);
	for (;;) {
		if (next_signal(signals, &info) < 0)
			return fail("read", "signalfd", errno, EXIT_OURS);
		if (info.ssi_signo == SIGCHLD)
			reap(0, &status);
		else if (ends_a_wait(info.ssi_signo))
			return 0;
	}
}

static int init(const char *message_path, char **command)
{
	struct inherited before;
	struct signalfd_siginfo info;
	int status, signals = block_signals(&before);
	pid_t child;

	if (signals < 0)
		return fail("signalfd", "", errno, EXIT_OURS);
	/* For a pod with shareProcessNamespace, where we are not PID 1. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return fail("prctl", "PR_SET_CHILD_SUBREAPER", errno, EXIT_OURS);
	child = start(message_path, command, &before);
	if (child < 0)
		return -child;
	for (;;) {
		if (next_signal(signals, &info) < 0)
			return fail("read", "signalfd", errno, EXIT_OURS);
		if (info.ssi_signo != SIGCHLD)
			/* To the command alone, as without us; it is not reaped, so the pid is its own. */
			kill(child, info.ssi_signo);
		else if (reap(child, &status))
			return exit_code(status);
	}
}

/* The value of an option that stands here, else NULL; `argv` moves behind it. */
char *option(char ***argv, const char *name)
{
	char *value;

	if (!**argv || strcmp(**argv, name) || !(value = (*argv)[1]))
		return NULL;
	*argv += 2;
	return value;
}

int main(int argc, char **argv)
{
	static const char *const version[] = {"gate ", VERSION, "\n"};
	static const char *const usage[] = {"usage: gate hold | init [-m FILE] -- COMMAND [ARGUMENT...] | ",
					    "supervise -s SOCKET [-m FILE] -- COMMAND [ARGUMENT...] | version | ",
					    "probe [-b BUDGET_MS] [-t TIMEOUT_MS] live|ready ATTEMPT | ",
					    "hook post-start|pre-stop ATTEMPT\n",
					    "ATTEMPT: exec -- COMMAND [ARGUMENT...] | tcp PORT [-h ADDRESS] | ",
					    "http PORT PATH [-h ADDRESS] [-H 'NAME: VALUE']... | grpc PORT [-h ADDRESS] [SERVICE] | ",
					    "sleep SECONDS\n"};
	const char *mode = argc > 1 ? argv[1] : "", *socket_path = NULL, *message_path;
	int code, supervised = !strcmp(mode, "supervise");

	if (argc == 2 && !strcmp(mode, "hold"))
		return hold();
	if (argc == 2 && !strcmp(mode, "version")) {
		say(STDOUT_FILENO, version, 3);
		return 0;
	}
	if (supervised || !strcmp(mode, "init")) {
		argv += 2;
		if (supervised)
			socket_path = option(&argv, "-s");
		message_path = option(&argv, "-m");
		if ((socket_path || !supervised) && argv[0] && !strcmp(argv[0], "--") && argv[1])
			return supervised ? supervise(socket_path, message_path, argv + 1) : init(message_path, argv + 1);
	}
	if (!strcmp(mode, "probe") && (code = probe(argv + 2)) != WRONG_USAGE)
		return code;
	if (!strcmp(mode, "hook") && (code = hook(argv + 2)) != WRONG_USAGE)
		return code;
	say(STDERR_FILENO, usage, sizeof usage / sizeof *usage);
	return EXIT_OURS;
}
