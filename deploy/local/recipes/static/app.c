/*
 * Says what it was started with; with `hold` as its first argument it then waits for SIGTERM. As there is no shell
 * beside it, it also looks into folders and files, and copies files.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

/* From one name to another; a dash is the standard input or output. What is made can be run. */
static int copy(const char *from, const char *to)
{
	int in = strcmp(from, "-") ? open(from, O_RDONLY) : STDIN_FILENO;
	int out = strcmp(to, "-") ? open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755) : STDOUT_FILENO;
	char bytes[4096];
	ssize_t got;

	while (in >= 0 && out >= 0 && (got = read(in, bytes, sizeof bytes)) >= 0) {
		if (got == 0)
			return 0;
		if (write(out, bytes, (size_t)got) != got)
			break;
	}
	perror(in < 0 ? from : to);
	return 1;
}

/* Each line with the name in front of it: of a folder its entries, of a file what is in it. */
static int look(const char *name)
{
	DIR *folder = opendir(name);
	FILE *file = folder ? NULL : fopen(name, "r");
	struct dirent *entry;
	char line[4096];

	while (folder && (entry = readdir(folder)))
		printf("%s %s\n", name, entry->d_name);
	while (file && fgets(line, sizeof line, file))
		printf("%s %s", name, line);
	if (folder)
		return closedir(folder);
	if (file)
		return fclose(file);
	printf("%s: %s\n", name, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	char directory[4096];
	int failed = 0;

	if (argc > 1 && !strcmp(argv[1], "look")) {
		for (int i = 2; i < argc; i++)
			failed |= look(argv[i]);
		return failed;
	}
	if (argc == 4 && !strcmp(argv[1], "copy"))
		return copy(argv[2], argv[3]);
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
