/*
 * The first process of a warm container: as init, but the command starts and stops when the node agent says so, while
 * the container stays. Where the data goes next: what became of an order to the agent, the exit code to the kubelet.
 *
 * An order that changes nothing is answered with what is. During a stop the last order wins: a start is done after it.
 */
#include "gate.h"

#include <errno.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum {
	GO_ON = -1, /* in the place of an exit code */
	KILL_AGAIN_MS = 1,
	KILL_AGAIN_LONGEST_MS = 1024,
};

enum phase {
	STOPPED,
	RUNNING,
	STOPPING, /* the command has its grace */
	KILLING,  /* it has none any more, and what it left has none at all */
};

struct supervisor {
	const char *message_path;
	char **command;
	struct inherited before;
	struct agent agent;
	int signals;
	int deadline; /* of the grace; then when to kill again */
	long kill_again_ms;
	enum phase phase;
	pid_t child;     /* the command until it is reaped, else 0 */
	int start_again; /* after this stop */
	int leave;       /* after this stop: the pod is being deleted */
	int on_terminal;
	struct termios terminal;
	int code; /* to exit with */
};

static void greet(struct supervisor *s)
{
	if (s->phase == STOPPED)
		tell(&s->agent, "hello 1 stopped", 0);
	else if (s->phase == RUNNING)
		tell(&s->agent, "hello 1 running ", s->child);
	else
		tell(&s->agent, "hello 1 stopping", 0);
}

static void begin(struct supervisor *s)
{
	pid_t child = start(s->message_path, s->command, &s->before);

	if (child < 0) {
		s->code = -child;
		return;
	}
	s->child = child;
	s->phase = RUNNING;
	tell(&s->agent, "started ", child);
}

static void end_all(struct supervisor *s)
{
	if (s->phase != KILLING)
		s->kill_again_ms = KILL_AGAIN_MS;
	s->phase = KILLING;
	kill_all(s->child);
	/* For what is ours only now, or could not die yet; ever more seldom, because it may never. */
	set_timer(s->deadline, s->kill_again_ms);
	if (s->kill_again_ms < KILL_AGAIN_LONGEST_MS)
		s->kill_again_ms *= 2;
}

/* Nothing of the user's is left. */
static void stopped(struct supervisor *s)
{
	set_timer(s->deadline, 0);
	s->phase = STOPPED;
	if (s->on_terminal) {
		/* The next command finds it as a new one: itself in front, the mode as it came, nothing left to read. */
		tcsetpgrp(STDIN_FILENO, getpgrp());
		tcsetattr(STDIN_FILENO, TCSANOW, &s->terminal);
		tcflush(STDIN_FILENO, TCIFLUSH);
	}
	tell(&s->agent, "stopped", 0);
	if (s->leave)
		s->code = 0;
	else if (s->start_again)
		begin(s);
}

static void ordered_start(struct supervisor *s)
{
	if (s->phase == STOPPED)
		begin(s);
	else if (s->phase == RUNNING)
		tell(&s->agent, "started ", s->child);
	else
		s->start_again = 1;
}

static void ordered_stop(struct supervisor *s, long grace, long signal)
{
	s->start_again = 0;
	if (s->phase == STOPPED)
		tell(&s->agent, "stopped", 0);
	if (s->phase == STOPPED || s->phase == KILLING)
		return;
	if (s->phase == STOPPING && grace >= time_left(s->deadline))
		return;
	if (s->phase == RUNNING)
		kill(s->child, (int)signal);
	s->phase = STOPPING;
	if (grace)
		set_timer(s->deadline, grace);
	else
		end_all(s);
}

static void on_message(struct supervisor *s)
{
	long grace, signal;

	switch (hear(&s->agent, &grace, &signal)) {
	case ORDER_START:
		ordered_start(s);
		break;
	case ORDER_STOP:
		ordered_stop(s, grace, signal);
		break;
	case ORDER_NONE:
		break;
	}
}

static void reap_ended(struct supervisor *s)
{
	siginfo_t ended;
	int status;

	for (;;) {
		ended.si_pid = 0;
		if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) < 0)
			break; /* ECHILD */
		if (!ended.si_pid)
			return;
		/* Before it is reaped: so long the group of its number can only be its own. */
		if (ended.si_pid == s->child && s->phase == STOPPING)
			end_all(s);
		waitpid(ended.si_pid, &status, 0);
		if (ended.si_pid != s->child)
			continue;
		s->child = 0;
		if (s->phase == RUNNING) {
			s->code = exit_code(status);
			return;
		}
	}
	if (s->phase == KILLING)
		stopped(s);
}

static void on_signal(struct supervisor *s)
{
	struct signalfd_siginfo info;

	if (next_signal(s->signals, &info) < 0)
		s->code = fail("read", "signalfd", errno, EXIT_OURS);
	else if (info.ssi_signo == SIGCHLD)
		reap_ended(s);
	else if (s->phase == RUNNING)
		kill(s->child, info.ssi_signo);
	else if (info.ssi_code > 0 || !ends_a_wait(info.ssi_signo))
		return; /* nor does what the terminal sends end a container that waits: a key, a resized window */
	else if (s->phase == STOPPED)
		s->code = 0;
	else
		s->leave = 1;
}

static int loop(struct supervisor *s)
{
	while (s->code == GO_ON) {
		struct pollfd ready[] = {
			{.fd = s->signals, .events = POLLIN},
			{.fd = s->deadline, .events = POLLIN},
			{.fd = s->agent.socket, .events = POLLIN},
			{.fd = s->agent.retry, .events = POLLIN},
		};

		if (poll(ready, sizeof ready / sizeof *ready, -1) < 0 && errno != EINTR)
			return fail("poll", "", errno, EXIT_OURS);
		if (ready[0].revents)
			on_signal(s);
		if (ready[1].revents && s->phase >= STOPPING)
			end_all(s);
		/* What came before may have ended us, or the connection. */
		if (s->code == GO_ON && s->agent.socket >= 0 && ready[2].revents)
			on_message(s);
		if (s->code == GO_ON && s->agent.socket < 0 && ready[3].revents && call_agent(&s->agent))
			greet(s);
	}
	return s->code;
}

int supervise(const char *socket_path, const char *message_path, char **command)
{
	struct supervisor s = {.message_path = message_path, .command = command, .code = GO_ON};

	if (set_address(&s.agent, socket_path) < 0)
		return fail("connect", socket_path, errno, EXIT_OURS);
	s.signals = block_signals(&s.before);
	if (s.signals < 0)
		return fail("signalfd", "", errno, EXIT_OURS);
	s.agent.retry = make_timer();
	s.deadline = make_timer();
	if (s.agent.retry < 0 || s.deadline < 0)
		return fail("timerfd", "", errno, EXIT_OURS);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return fail("prctl", "PR_SET_CHILD_SUBREAPER", errno, EXIT_OURS);
	s.on_terminal = tcgetpgrp(STDIN_FILENO) == getpgrp() && tcgetattr(STDIN_FILENO, &s.terminal) == 0;
	if (call_agent(&s.agent))
		greet(&s);
	return loop(&s);
}
