/* SPDX-License-Identifier: GPL-2.0 */
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#define AGENT_PORT	"org.lguest.agent"
#define NR_SESSIONS	16
#define WINDOW		65536	/* bytes of a stream not yet acknowledged */
#define PIECE		16376	/* and with its head a message fills pages */
#define BODY_MAX	(256 << 10)

/* kinds of messages */
enum { OPEN, DATA, ACK, SIZE, SIGNAL, CLOSE, OFF, EXIT };

struct message {
	uint8_t type, stream;
	uint16_t session;
	uint32_t length;
};

struct job {
	uint32_t uid, gid, argc, envc;
	struct winsize size;
	uint16_t groups;
	uint8_t tty, errors_apart;
};

/* cut a stream into messages */
struct frames {
	size_t have;
	_Alignas(8) uint8_t data[sizeof(struct message) + BODY_MAX];
};

typedef void take_message(void *arg, const struct message *m,
			  const uint8_t *body);

static inline bool frames_feed(struct frames *f, const uint8_t *p, size_t n,
			       take_message *take, void *arg)
{
	const struct message *m = (void *)f->data;

	while (n) {
		size_t want = sizeof(*m), part;

		/* add what the message still lacks */
		if (f->have >= want)
			want += m->length;
		part = n < want - f->have ? n : want - f->have;
		memcpy(f->data + f->have, p, part);
		f->have += part;
		p += part;
		n -= part;
		if (f->have < sizeof(*m))
			continue;
		if (m->length > BODY_MAX)
			return false;
		if (f->have < sizeof(*m) + m->length)
			continue;
		f->have = 0;
		take(arg, m, f->data + sizeof(*m));
	}
	return true;
}

#endif
