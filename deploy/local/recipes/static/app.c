/* Says what it was started with; with `hold` as its first argument it then waits for SIGTERM. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static volatile sig_atomic_t ended;

static void end(int signal_number)
{
	(void)signal_number;
	ended = 1;
}

static void hold(void)
{
	struct sigaction action = { .sa_handler = end };
	sigset_t term, before;

	/* Blocked but in sigsuspend: a signal between the test and the wait would be lost. */
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &before);
	sigaction(SIGTERM, &action, NULL);
	while (!ended)
		sigsuspend(&before);
	puts("ended=SIGTERM");
}

int main(int argc, char **argv)
{
	char directory[4096];

	for (int i = 0; i < argc; i++)
		printf("argv[%d]=%s\n", i, argv[i]);
	for (char **variable = environ; *variable; variable++)
		printf("env %s\n", *variable);
	printf("uid=%d\ngid=%d\n", (int)getuid(), (int)getgid());
	printf("cwd=%s\n", getcwd(directory, sizeof directory) ? directory : "?");
	fflush(stdout);
	if (argc > 1 && !strcmp(argv[1], "hold"))
		hold();
	return 0;
}
