/* What the files of the gate know of each other. */
#ifndef GATE_H
#define GATE_H

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/types.h>
#include <sys/un.h>
#include <time.h>

enum {
	EXIT_OURS = 125,           /* the gate itself failed, the command never ran; as docker does */
	EXIT_NOT_EXECUTABLE = 126, /* these two as a shell does */
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNAL = 128,
	WRONG_USAGE = -1, /* in the place of an exit code */
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

/* A server that is probed. */
struct peer {
	int socket;
	long deadline; /* for all of it, CLOCK_MONOTONIC; 0: none */
	char name[64]; /* as in a URL: 192.0.2.1:80, [2001:db8::1]:80 */
};

enum order { ORDER_NONE, ORDER_START, ORDER_STOP };

/* gate.c */
void say(int fd, const char *const parts[], int count);
int fail(const char *act, const char *name, int error, int code);
char *option(char ***argv, const char *name);

/* command.c */
int block_signals(struct inherited *before);
int next_signal(int signals, struct signalfd_siginfo *info);
int ends_a_wait(int signal);
pid_t start(const char *message_path, char **command, const struct inherited *before);
int replace(char **command);
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
const char *number(const char *text, long highest, long *value);

/* supervise.c */
int supervise(const char *socket_path, const char *message_path, char **command);

/* probe.c */
int probe(char **argv);
int hook(char **argv);
int no(const char *act, const char *name, const char *why);

/* dial.c */
long clock_ms(clockid_t clock);
long time_until(long deadline);
int is_address(const char *host);
int dial(struct peer *peer, const char *host, long port);
int deliver(struct peer *peer, const void *bytes, size_t size);
ssize_t receive(struct peer *peer, void *buffer, size_t size);
int unheard(const struct peer *peer, ssize_t got);

/* http.c */
int is_target(const char *target);
int is_header(const char *header);
int http_get(struct peer *peer, const char *target, char **headers, const char *user_agent);

/* grpc.c */
int check_health(struct peer *peer, const char *service);

#endif
