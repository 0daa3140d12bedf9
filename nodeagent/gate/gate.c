/*
 * The first process of the provider (hold) and of the consumer (init): waits, forwards signals, reaps, passes the
 * exit code on. Where the data goes next: the exit code to the kubelet, as if the command had been the first process.
 *
 * It runs in any image, also in one that holds a single static binary: no /proc, no /dev, no shell, no heap.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define VERSION "0.1.0"

enum {
	EXIT_OURS = 125,           /* the gate itself failed, the command never ran; as docker does */
	EXIT_NOT_EXECUTABLE = 126, /* these two as a shell does */
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNAL = 128,
	NAME_SHOWN = 256, /* bytes of the command's name in a message */
};

/* What containerd writes into every container's environment; ours for the one that has lost it. */
static char default_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct inherited {
	sigset_t mask;
	struct sigaction child_action;
};

static void say(int fd, const char *const parts[], int count)
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

static int fail(const char *act, const char *name, int error, int code)
{
	const char *const parts[] = {"stoppablecontainer: ", act, *name ? " " : "", name, ": ", strerror(error), "\n"};

	say(STDERR_FILENO, parts, sizeof parts / sizeof *parts);
	return code;
}

/*
 * Every signal, also those that a libc keeps for itself. Blocked ones stay pending even for PID 1, which would
 * lose them otherwise (SIGNAL_UNKILLABLE), and none can interrupt a call. A real fault still kills: the kernel
 * forces it through.
 */
static int block_signals(struct inherited *before)
{
	sigset_t all;
	const struct sigaction standard = {.sa_handler = SIG_DFL};

	memset(&all, 0xff, sizeof all);
	/* An inherited SIG_IGN would make the kernel reap our children and lose their exit codes. */
	if (sigprocmask(SIG_BLOCK, &all, &before->mask) < 0 ||
	    sigaction(SIGCHLD, &standard, &before->child_action) < 0)
		return -1;
	return signalfd(-1, &all, SFD_CLOEXEC);
}

static int next_signal(int signals)
{
	struct signalfd_siginfo info;
	ssize_t got;

	do
		got = read(signals, &info, sizeof info);
	while (got < 0 && errno == EINTR);
	return got == (ssize_t)sizeof info ? (int)info.ssi_signo : -1;
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
	int status, signals = block_signals(&before);

	if (signals < 0)
		return fail("signalfd", "", errno, EXIT_OURS);
	for (;;) {
		switch (next_signal(signals)) {
		case -1:
			return fail("read", "signalfd", errno, EXIT_OURS);
		case SIGCHLD:
			reap(0, &status);
			break;
		case SIGCONT:
		case SIGTSTP:
		case SIGTTIN:
		case SIGTTOU:
			break;
		default:
			/* Not SIGTERM alone: the image's STOPSIGNAL is what comes (nginx SIGQUIT, httpd SIGWINCH). */
			return 0;
		}
	}
}

/* In the child: never returns; the errno of a failed exec goes into the pipe. */
static void become(char **command, const struct inherited *before, int report)
{
	char *only_path[] = {default_path, NULL};
	char **environment = environ;
	int error, foreground = tcgetpgrp(STDIN_FILENO) == getpgrp();

	/* A group of its own, not a session: a dying session leader would hang the terminal up. */
	setpgid(0, 0);
	/* Still with SIGTTOU blocked, else this stops us: we are in the background until it is done. */
	if (foreground)
		tcsetpgrp(STDIN_FILENO, getpid());
	sigaction(SIGCHLD, &before->child_action, NULL);
	sigprocmask(SIG_SETMASK, &before->mask, NULL);
	if (!getenv("PATH"))
		environ = only_path; /* for the search only: the command gets its environment as it came */
	execvpe(command[0], command, environment);
	error = errno;
	if (write(report, &error, sizeof error) < 0)
		_exit(EXIT_OURS);
	_exit(EXIT_NOT_FOUND);
}

/* 0 when the command runs (the pipe closed on exec), else its errno. */
static int exec_error(int report)
{
	int error;
	ssize_t got;

	do
		got = read(report, &error, sizeof error);
	while (got < 0 && errno == EINTR);
	return got == (ssize_t)sizeof error ? error : 0;
}

/* Where Kubernetes looks for why a container ended; for the one end that the command cannot explain itself. */
static void leave_message(const char *path, const char *name, int error)
{
	const char *const parts[] = {"exec ", name, ": ", strerror(error)};
	int fd = open(path, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return;
	say(fd, parts, sizeof parts / sizeof *parts);
	close(fd);
}

/* Starts the command; its pid, or minus the code to exit with. */
static pid_t start(const char *message_path, char **command, const struct inherited *before)
{
	int error, report[2];
	pid_t child;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -fail("pipe", "", errno, EXIT_OURS);
	child = fork();
	if (child < 0)
		return -fail("fork", "", errno, EXIT_OURS);
	if (child == 0)
		become(command, before, report[1]);
	close(report[1]);
	error = exec_error(report[0]);
	close(report[0]);
	if (error == 0)
		return child;
	if (message_path)
		leave_message(message_path, command[0], error);
	return -fail("exec", command[0], error,
		     error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

static int init(const char *message_path, char **command)
{
	struct inherited before;
	int signal, status, signals = block_signals(&before);
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
		signal = next_signal(signals);
		if (signal < 0)
			return fail("read", "signalfd", errno, EXIT_OURS);
		if (signal != SIGCHLD)
			kill(child, signal); /* to the command alone, as without us; it is not reaped, so the pid is its own */
		else if (reap(child, &status))
			return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNAL + WTERMSIG(status);
	}
}

int main(int argc, char **argv)
{
	static const char *const version[] = {"gate ", VERSION, "\n"};
	static const char *const usage[] = {"usage: gate hold | init [-m FILE] -- COMMAND [ARGUMENT...] | version\n"};

	if (argc == 2 && !strcmp(argv[1], "hold"))
		return hold();
	if (argc >= 4 && !strcmp(argv[1], "init") && !strcmp(argv[2], "--"))
		return init(NULL, argv + 3);
	if (argc >= 6 && !strcmp(argv[1], "init") && !strcmp(argv[2], "-m") && !strcmp(argv[4], "--"))
		return init(argv[3], argv + 5);
	if (argc == 2 && !strcmp(argv[1], "version")) {
		say(STDOUT_FILENO, version, 3);
		return 0;
	}
	say(STDERR_FILENO, usage, 1);
	return EXIT_OURS;
}
