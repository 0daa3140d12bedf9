/* What the files of the gate know of each other. */
#ifndef GATE_H
#define GATE_H

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/types.h>
#include <sys/un.h>

enum {
	EXIT_OURS = 125,           /* the gate itself failed, the command never ran; as docker does */
	EXIT_NOT_EXECUTABLE = 126, /* these two as a shell does */
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNAL = 128,
};

struct inherited {
	sigset_t mask;
	struct sigaction child_action;
};

struct agent {
	struct sockaddr_un address;
	int socket; /* -1 while there is no connection */
	int retry;  /* when to try again */
};

enum order { ORDER_NONE, ORDER_START, ORDER_STOP };

/* gate.c */
void say(int fd, const char *const parts[], int count);
int fail(const char *act, const char *name, int error, int code);

/* command.c */
int block_signals(struct inherited *before);
int next_signal(int signals, struct signalfd_siginfo *info);
int ends_a_wait(int signal);
pid_t start(const char *message_path, char **command, const struct inherited *before);
int exit_code(int status);
void kill_all(pid_t command);

/* agent.c */
int make_timer(void);
void set_timer(int timer, long ms);
long time_left(int timer);
int set_address(struct agent *agent, const char *path);
int call_agent(struct agent *agent);
void tell(struct agent *agent, const char *words, pid_t pid);
enum order hear(struct agent *agent, long *grace, long *signal);

/* supervise.c */
int supervise(const char *socket_path, const char *message_path, char **command);

#endif
