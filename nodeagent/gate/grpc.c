/*
 * grpc.health.v1.Health/Check over plain HTTP/2 that both know they speak: the few frames of one call, written by hand.
 * Where the data goes next: 0 or 1 to probe.c, and why not to the kubelet. All that the server says is bounded.
 */
#include "gate.h"

#include <stdint.h>
#include <string.h>

enum {
	FRAME_HEAD = 9,
	FRAME_LONGEST = 16 * 1024, /* until we say otherwise, and we do not */
	FRAMES_MOST = 256,         /* of which a server needs about six */
	MESSAGE_PREFIX = 5,        /* compressed or not, and the length */
	ANSWER_LONGEST = 256,      /* one number, and room for what later versions add */
	REQUEST_LONGEST = 2048,    /* SERVICE_LONGEST of probe.c, and all around it */
	SERVING = 1,
	OUR_STREAM = 1,
};

enum type { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE };
enum flag { END_STREAM = 0x1, ACK = 0x1, END_HEADERS = 0x4, PADDED = 0x8 };

struct frame {
	size_t size;
	enum type type;
	unsigned flags;
	uint32_t stream;
	unsigned char payload[FRAME_LONGEST];
};

struct call {
	struct peer *peer;
	unsigned char answer[ANSWER_LONGEST];
	size_t used;
	int ended;
};

/* What each call says of itself (RFC 7541: indexed where the static table has it, else literal and not kept). */
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static const unsigned char post_http[] = {0x83, 0x86};
static const char path[] = "\x04\x1c/grpc.health.v1.Health/Check";
static const char content_type[] = "\x0f\x10\x10" "application/grpc";
static const char trailers[] = "\x00\x02te\x08trailers";
static const char user_agent[] = "\x0f\x2b\x1dkube-probe/stoppablecontainer";
enum { AUTHORITY = 0x01 };

static unsigned char *put(unsigned char *at, const void *bytes, size_t size)
{
	memcpy(at, bytes, size);
	return at + size;
}

static unsigned char *put_frame(unsigned char *at, size_t size, enum type type, unsigned flags, uint32_t stream)
{
	const unsigned char head[FRAME_HEAD] = {
		(unsigned char)(size >> 16), (unsigned char)(size >> 8), (unsigned char)size,
		(unsigned char)type,         (unsigned char)flags,       [8] = (unsigned char)stream,
	};

	return put(at, head, sizeof head);
}

static unsigned char *put_headers(unsigned char *at, const char *authority)
{
	size_t length = strlen(authority); /* of one byte: a peer's name */
	unsigned char *block = at + FRAME_HEAD, *next = block;

	next = put(next, post_http, sizeof post_http);
	next = put(next, path, sizeof path - 1);
	*next++ = AUTHORITY;
	*next++ = (unsigned char)length;
	next = put(next, authority, length);
	next = put(next, content_type, sizeof content_type - 1);
	next = put(next, trailers, sizeof trailers - 1);
	next = put(next, user_agent, sizeof user_agent - 1);
	put_frame(at, (size_t)(next - block), HEADERS, END_HEADERS, OUR_STREAM);
	return next;
}

/* HealthCheckRequest{service: 1}: no field at all when it is empty, as every library writes it. */
static unsigned char *put_message(unsigned char *at, const char *service)
{
	size_t length = strlen(service), size = length ? 1 + 1 + (length > 0x7f) + length : 0;
	const unsigned char prefix[MESSAGE_PREFIX] = {[3] = (unsigned char)(size >> 8), [4] = (unsigned char)size};

	at = put_frame(at, sizeof prefix + size, DATA, END_STREAM, OUR_STREAM);
	at = put(at, prefix, sizeof prefix);
	if (!length)
		return at;
	*at++ = 1 << 3 | 2;
	if (length > 0x7f) {
		*at++ = (unsigned char)(0x80 | (length & 0x7f));
		length >>= 7;
	}
	*at++ = (unsigned char)length;
	return put(at, service, strlen(service));
}

/* 0 when all has been read; else 1, and why has been said. */
static int take(struct peer *peer, unsigned char *at, size_t size)
{
	while (size) {
		ssize_t got = receive(peer, at, size);

		if (got <= 0)
			return unheard(peer, got);
		at += got;
		size -= (size_t)got;
	}
	return 0;
}

static uint32_t word(const unsigned char *at)
{
	return (uint32_t)(at[0] & 0x7f) << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int take_frame(struct peer *peer, struct frame *frame)
{
	unsigned char head[FRAME_HEAD];

	if (take(peer, head, sizeof head))
		return 1;
	frame->size = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
	frame->type = head[3];
	frame->flags = head[4];
	frame->stream = word(head + 5);
	if (frame->size > FRAME_LONGEST)
		return no("grpc", peer->name, "the answer is not HTTP/2");
	return take(peer, frame->payload, frame->size);
}

static int acknowledge(struct peer *peer, const struct frame *frame)
{
	unsigned char answer[FRAME_HEAD + 8];
	size_t size = frame->type == PING ? 8 : 0;

	if (frame->flags & ACK)
		return 0;
	put(put_frame(answer, size, frame->type, ACK, 0), frame->payload, size);
	if (deliver(peer, answer, FRAME_HEAD + size) < 0)
		return no("write", peer->name, "the server does not listen");
	return 0;
}

static int keep(struct call *call, const struct frame *frame)
{
	const unsigned char *data = frame->payload;
	size_t size = frame->size;

	if (frame->flags & PADDED) {
		if (!size || data[0] >= size)
			return no("grpc", call->peer->name, "the answer is not HTTP/2");
		size -= 1u + data[0];
		data++;
	}
	if (size > sizeof call->answer - call->used)
		return no("grpc", call->peer->name, "the answer is too long");
	put(call->answer + call->used, data, size);
	call->used += size;
	return 0;
}

/* 0: go on, or the call has ended; else 1, and why has been said. */
static int on_frame(struct call *call, const struct frame *frame)
{
	int ours = frame->stream == OUR_STREAM;

	switch (frame->type) {
	case SETTINGS:
		return acknowledge(call->peer, frame);
	case PING:
		if (frame->size != 8)
			return no("grpc", call->peer->name, "the answer is not HTTP/2");
		return acknowledge(call->peer, frame);
	case DATA:
		call->ended = ours && frame->flags & END_STREAM;
		return ours ? keep(call, frame) : 0;
	case HEADERS:
		call->ended = ours && frame->flags & END_STREAM;
		return 0;
	case RST_STREAM:
		return ours ? no("grpc", call->peer->name, "the server refused the call") : 0;
	case GOAWAY:
		/* A call that it has taken is still answered. */
		if (frame->size < 8 || word(frame->payload) < OUR_STREAM)
			return no("grpc", call->peer->name, "the server is going away");
		return 0;
	default:
		return 0;
	}
}

/* A number of protobuf's; where it ends, NULL when it does not. */
static const unsigned char *varint(const unsigned char *at, const unsigned char *end, uint64_t *value)
{
	*value = 0;
	for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
		*value |= (uint64_t)(*at & 0x7f) << shift;
		if (!(*at++ & 0x80))
			return at;
	}
	return NULL;
}

/* HealthCheckResponse{status: 1}; -1: it is none. What it has besides is skipped. */
static long status_in(const unsigned char *at, const unsigned char *end)
{
	uint64_t tag, value;
	long status = 0;

	while (at && at < end) {
		at = varint(at, end, &tag);
		if (!at)
			return -1;
		if ((tag & 7) == 1 || (tag & 7) == 5)
			value = (tag & 7) == 1 ? 8 : 4;
		else if ((tag & 7) > 2 || !(at = varint(at, end, &value)))
			return -1;
		if (tag == 1 << 3)
			status = value < 1000 ? (long)value : 1000;
		if (tag & 7 && value > (uint64_t)(end - at))
			return -1;
		at += tag & 7 ? value : 0;
	}
	return status;
}

static int judge(const struct call *call)
{
	static const char *const words[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
	const unsigned char *answer = call->answer;
	size_t size = call->used >= MESSAGE_PREFIX ? (size_t)word(answer + 1) : 0;
	long status;

	/* An error is in the trailers alone, compressed; to read them would take more than all of this. */
	if (!call->used)
		return no("grpc", call->peer->name,
			  "an error: the server does not offer grpc.health.v1.Health, or does not know the service");
	if (answer[0] || size != call->used - MESSAGE_PREFIX)
		return no("grpc", call->peer->name, "the answer is not a health status");
	status = status_in(answer + MESSAGE_PREFIX, answer + call->used);
	if (status == SERVING)
		return 0;
	return no("grpc", call->peer->name, status >= 0 && status < 4 ? words[status] : "an unknown health status");
}

int check_health(struct peer *peer, const char *service)
{
	static struct frame frame;
	struct call call = {.peer = peer};
	unsigned char request[REQUEST_LONGEST], *end = request;

	end = put(end, preface, sizeof preface - 1);
	end = put_frame(end, 0, SETTINGS, 0, 0);
	end = put_headers(end, peer->name);
	end = put_message(end, service);
	/* All at once: no server needs to be heard first for so little. */
	if (deliver(peer, request, (size_t)(end - request)) < 0)
		return no("write", peer->name, "the server does not listen");
	for (int frames = 0; frames < FRAMES_MOST; frames++) {
		if (take_frame(peer, &frame) || on_frame(&call, &frame))
			return 1;
		if (call.ended)
			return judge(&call);
	}
	return no("grpc", peer->name, "the server talks without end");
}
