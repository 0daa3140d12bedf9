/*
 * One HTTP/1.1 GET as the kubelet sends it, and the status of the answer. Where the data goes next: the status to
 * probe.c, which judges it. What the server says is hostile: all of it is bounded, none of it is shown.
 */
#include "gate.h"

#include <string.h>
#include <strings.h>

enum {
	REQUEST_LONGEST = 64 * 1024,
	HEAD_LONGEST = 64 * 1024,
	BODY_LONGEST = 10 * 1024, /* what the kubelet reads of it */
	INTERIM_MOST = 5,         /* 100 Continue and such, before the answer */
	STATUS_AT = 9,            /* behind "HTTP/1.1 " */
};
static const long length_longest = 1000L * 1000 * 1000 * 1000 * 1000;

struct request {
	char text[REQUEST_LONGEST];
	size_t used;
	int overflown;
};

struct answer {
	char text[HEAD_LONGEST + BODY_LONGEST + 1]; /* ends with a zero */
	size_t used;
	size_t head; /* where it ends; 0: not yet */
};

int is_target(const char *target)
{
	const char *next = target;

	while (*next > ' ' && *next < 0x7f)
		next++;
	return *target == '/' && !*next;
}

/* "Name: value", and nothing that would begin another line. */
int is_header(const char *header)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789"
				    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t name = strspn(header, token);

	if (!name || header[name] != ':')
		return 0;
	for (const unsigned char *next = (const unsigned char *)header + name; *next; next++)
		if ((*next < ' ' && *next != '\t') || *next == 0x7f)
			return 0;
	return 1;
}

/* The value when it is the header of this name, else NULL. */
static const char *value_in(const char *header, const char *name)
{
	size_t length = strlen(name);

	if (strncasecmp(header, name, length) || header[length] != ':')
		return NULL;
	return header + length + 1 + strspn(header + length + 1, " \t");
}

/* The first of this name that the user gave, else NULL. */
static const char *given(char **headers, const char *name)
{
	const char *value = NULL;

	for (; *headers && !value; headers += 2)
		value = value_in(headers[1], name);
	return value;
}

static void add(struct request *request, const char *text)
{
	size_t size = strlen(text);

	if (size > sizeof request->text - request->used) {
		request->overflown = 1;
		return;
	}
	memcpy(request->text + request->used, text, size);
	request->used += size;
}

static void add_header(struct request *request, const char *name, const char *value)
{
	if (!*value)
		return;
	add(request, name);
	add(request, ": ");
	add(request, value);
	add(request, "\r\n");
}

/* Written already, or dropped as Go's client does, because they would promise a body. */
static int is_ours(const char *header)
{
	static const char *const ours[] = {"Host", "User-Agent", "Accept",
					   "Content-Length", "Transfer-Encoding", "Trailer"};

	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		if (value_in(header, ours[i]))
			return 1;
	return 0;
}

static void write_request(struct request *request, const char *target, char **headers, const char *host,
			  const char *user_agent)
{
	const char *its_host = given(headers, "Host"), *its_agent = given(headers, "User-Agent");
	const char *accept = given(headers, "Accept");

	add(request, "GET ");
	add(request, target);
	add(request, " HTTP/1.1\r\n");
	add_header(request, "Host", its_host && *its_host ? its_host : host);
	/* An empty one means none. */
	add_header(request, "User-Agent", its_agent ? its_agent : user_agent);
	add_header(request, "Accept", accept ? accept : "*/*");
	for (; *headers; headers += 2) {
		if (is_ours(headers[1]))
			continue;
		add(request, headers[1]);
		add(request, "\r\n");
	}
	add(request, "Connection: close\r\n\r\n");
}

/* Reads on; as receive. There must be room. */
static ssize_t more(struct peer *peer, struct answer *answer, size_t until)
{
	ssize_t got = receive(peer, answer->text + answer->used, until - answer->used);

	if (got > 0)
		answer->used += (size_t)got;
	answer->text[answer->used] = '\0';
	return got;
}

/* Behind the blank line; 0: there is none. Lines may end without a carriage return. */
static size_t end_of_head(const struct answer *answer, size_t from)
{
	for (size_t i = from; i < answer->used; i++) {
		if (answer->text[i] != '\n')
			continue;
		if (answer->text[i + 1] == '\n')
			return i + 2;
		if (answer->text[i + 1] == '\r' && answer->text[i + 2] == '\n')
			return i + 3;
	}
	return 0;
}

/* -1: it does not begin as HTTP, or has not come so far. */
static int status_of(const struct answer *answer)
{
	const char *text = answer->text, *behind = text + STATUS_AT + 3;
	int status = 0;

	if (strncmp(text, "HTTP/", 5) || text[6] != '.' || text[8] != ' ')
		return -1;
	for (const char *digit = text + STATUS_AT; digit < behind; digit++) {
		if (*digit < '0' || *digit > '9')
			return -1;
		status = status * 10 + *digit - '0';
	}
	return *behind == ' ' || *behind == '\r' || *behind == '\n' ? status : -1;
}

/* The status of the answer that stands first, or -1 when why has been said. */
static int read_head(struct peer *peer, struct answer *answer)
{
	size_t seen = 0;
	ssize_t got;

	for (;;) {
		answer->head = end_of_head(answer, seen);
		/* What does not even begin as HTTP is not waited for. */
		if ((answer->used > STATUS_AT + 3 || answer->head) && status_of(answer) < 0)
			return -no("http", peer->name, "the answer is not HTTP");
		if (answer->head)
			return status_of(answer);
		if (answer->used >= HEAD_LONGEST)
			return -no("http", peer->name, "the headers of the answer are too long");
		seen = answer->used > 3 ? answer->used - 3 : 0; /* its end may have begun */
		got = more(peer, answer, HEAD_LONGEST);
		if (got <= 0)
			return -unheard(peer, got);
	}
}

/* The value of a header of the answer, or NULL. */
static const char *field(const struct answer *answer, const char *name)
{
	const char *line = strchr(answer->text, '\n'), *value;

	for (; line && line < answer->text + answer->head; line = strchr(line + 1, '\n'))
		if ((value = value_in(line + 1, name)))
			return value;
	return NULL;
}

/*
 * Reads what follows, so that the server need not log a reset; as much of it as the kubelet. What becomes of it does
 * not matter: the kubelet does not count it as a failure either.
 */
static void drain(struct peer *peer, struct answer *answer, int status)
{
	static const char last_chunk[] = "0\r\n\r\n";
	const char *length_text = field(answer, "Content-Length"), *coding = field(answer, "Transfer-Encoding");
	long length;
	size_t end = answer->head + BODY_LONGEST, least = answer->head + sizeof last_chunk - 1;

	if (status == 204 || status == 304)
		return;
	if (!coding && length_text && number(length_text, length_longest, &length) && length < BODY_LONGEST)
		end = answer->head + (size_t)length;
	while (answer->used < end) {
		if (coding && answer->used >= least &&
		    !strcmp(answer->text + answer->used - (sizeof last_chunk - 1), last_chunk))
			return;
		if (more(peer, answer, end) <= 0)
			return;
	}
}

/* The status of the answer, or -1 when there is none and why has been said. */
int http_get(struct peer *peer, const char *target, char **headers, const char *user_agent)
{
	static struct request request;
	static struct answer answer;
	int status = -1;

	write_request(&request, target, headers, peer->name, user_agent);
	if (request.overflown)
		return -no("http", peer->name, "the request is longer than 64 KiB");
	if (deliver(peer, request.text, request.used) < 0)
		return -no("write", peer->name, "the server does not take the request");
	for (int i = 0; i <= INTERIM_MOST; i++) {
		status = read_head(peer, &answer);
		if (status < 100 || status >= 200 || status == 101)
			break;
		answer.used -= answer.head;
		memmove(answer.text, answer.text + answer.head, answer.used + 1);
	}
	if (status >= 0)
		drain(peer, &answer, status);
	return status;
}
