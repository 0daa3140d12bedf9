/*
 * The user's processes as the kernel shows them to their parent: which signals come, how the command starts, how all
 * of it is killed. Where the data goes next: pids and exit codes to init (gate.c) and to supervise.c.
 */
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	HIGHEST_PID = 4 * 1024 * 1024, /* PID_MAX_LIMIT, whatever kernel.pid_max says */
	ASKED_AT_ONCE = 128 * 1024,    /* about a tenth of a second */
	CHILD_STACK = 64 * 1024,       /* for the search of PATH, that takes up to 5 kB of it */
};

/* What containerd writes into every container's environment; ours for the one that has lost it. */
static char default_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* The number to ask for next when there is no list of our children. They follow upon the command's own, as a rule. */
static pid_t asked_next = 2;

struct birth {
	char **command;
	char **environment;
	const struct inherited *before;
	int error;
};

/*
 * Every signal, also those that a libc keeps for itself. Blocked ones stay pending even for PID 1, which would
 * lose them otherwise (SIGNAL_UNKILLABLE), and none can interrupt a call. A real fault still kills: the kernel
 * forces it through.
 */
int block_signals(struct inherited *before)
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

int next_signal(int signals, struct signalfd_siginfo *info)
{
	ssize_t got;

	do
		got = read(signals, info, sizeof *info);
	while (got < 0 && errno == EINTR);
	return got == (ssize_t)sizeof *info ? 0 : -1;
}

/* Not SIGTERM alone: the image's STOPSIGNAL is what comes (nginx SIGQUIT, httpd SIGWINCH). */
int ends_a_wait(int signal)
{
	return signal != SIGCHLD && signal != SIGCONT && signal != SIGTSTP && signal != SIGTTIN && signal != SIGTTOU;
}

/* In the child, which has the gate's memory until it execs: it changes nothing there but the error. */
static int become(void *argument)
{
	struct birth *birth = argument;
	int foreground = tcgetpgrp(STDIN_FILENO) == getpgrp();

	/* A group of its own, not a session: a dying session leader would hang the terminal up. */
	setpgid(0, 0);
	/* Still with SIGTTOU blocked, else this stops us: we are in the background until it is done. */
	if (foreground)
		tcsetpgrp(STDIN_FILENO, getpid());
	sigaction(SIGCHLD, &birth->before->child_action, NULL);
	sigprocmask(SIG_SETMASK, &birth->before->mask, NULL);
	execvpe(birth->command[0], birth->command, birth->environment);
	birth->error = errno;
	return EXIT_NOT_FOUND;
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

static int not_executed(const char *name, int error)
{
	return fail("exec", name, error, error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

/* Starts the command; its pid when it has been executed, or minus the code to exit with. */
pid_t start(const char *message_path, char **command, const struct inherited *before)
{
	static _Alignas(16) char stack[CHILD_STACK];
	char *only_path[] = {default_path, NULL};
	struct birth birth = {.command = command, .environment = environ, .before = before};
	pid_t child;

	if (!getenv("PATH"))
		environ = only_path; /* for the search only: the command gets its environment as it came */
	/* As posix_spawn does it: no copy of our page tables, and we go on when the exec has succeeded or failed. */
	child = clone(become, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &birth);
	environ = birth.environment;
	if (child < 0)
		return -fail("clone", "", errno, EXIT_OURS);
	asked_next = child;
	if (birth.error == 0)
		return child;
	if (message_path)
		leave_message(message_path, command[0], birth.error);
	return -not_executed(command[0], birth.error);
}

/* The command in our place; comes back only with what to exit with. */
int replace(char **command)
{
	char *only_path[] = {default_path, NULL}, **environment = environ;

	if (!getenv("PATH"))
		environ = only_path; /* as in start */
	execvpe(command[0], command, environment);
	return not_executed(command[0], errno);
}

int exit_code(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNAL + WTERMSIG(status);
}

/* Kills it if it is a child of ours that is not reaped, so that the number cannot be another's; true if it is. */
static int kill_child(pid_t pid)
{
	siginfo_t ended;

	if (waitid(P_PID, pid, &ended, WEXITED | WNOHANG | WNOWAIT) < 0)
		return 0;
	kill(-pid, SIGKILL); /* the group that it leads: a daemon with its workers, which are not ours yet */
	kill(pid, SIGKILL);
	return 1;
}

/* Those of the kernel's list; how many. One read is enough: the dead make room in it for the next call. */
static int kill_listed(void)
{
	char list[4096];
	pid_t pid = 0;
	int killed = 0, fd = open("/proc/thread-self/children", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, list, sizeof list);

	for (ssize_t i = 0; i < got; i++) {
		if (list[i] >= '0' && list[i] <= '9' && pid < HIGHEST_PID) {
			pid = pid * 10 + list[i] - '0';
			continue;
		}
		if (pid > 1)
			killed += kill_child(pid);
		pid = 0;
	}
	if (fd >= 0)
		close(fd);
	return killed;
}

/*
 * Kills the command, if it is not reaped (else 0), and all that came from it, as far as it is within reach now: who
 * calls goes on until there is no child. As PID 1 that is all at once; otherwise also what we have adopted, in
 * whatever group or session.
 */
void kill_all(pid_t command)
{
	if (getpid() == 1) {
		kill(-1, SIGKILL);
		return;
	}
	if (command)
		kill_child(command);
	if (kill_listed())
		return;
	/* Without /proc every number is asked for, a part of them at each call. */
	for (int i = 0; i < ASKED_AT_ONCE; i++) {
		kill_child(asked_next);
		if (++asked_next >= HIGHEST_PID)
			asked_next = 2;
	}
}
