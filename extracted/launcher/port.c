// SPDX-License-Identifier: GPL-2.0
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <sys/un.h>

#include "session.h"

/* buffers that grow */
void buffer_add(struct buffer *b, const void *p, size_t n)
{
	if (!n)
		return;
	if (b->n + n > b->room) {
		b->room = 2 * (b->n + n);
		b->data = realloc(b->data, b->room);
		if (!b->data)
			die(NO_RESOURCE, "no memory for a session's data");
	}
	memcpy(b->data + b->n, p, n);
	b->n += n;
}

void buffer_drop(struct buffer *b, size_t n)
{
	b->n -= n;
	memmove(b->data, b->data + n, b->n);
}

/* the port's state */
enum { FROM_US, FROM_GUEST, CONTROL_FROM_US, CONTROL_FROM_GUEST, NR_QUEUES };

static struct client {
	int fd, id;
	bool opened, ended;
	struct frames in;
	struct buffer out;
} *clients[NR_SESSIONS];

static struct {
	struct device *device;
	unsigned int to_tell;	/* events of control, a bit each */
	bool open;		/* by the agent */
	struct frames in;
	struct buffer out;
} port;

static void watch_client(struct client *c);

/* send to the guest */
static size_t fill(struct chain *c, const void *p, size_t n)
{
	struct iovec *room = c->iov + c->nr_out;

	return iov_write(&room, &c->nr_in, p, n);
}

static void flush(void)
{
	struct vq *q = &port.device->vq[FROM_US];
	struct chain c;

	while (port.open && port.out.n && vq_pop(q, &c)) {
		size_t n = fill(&c, port.out.data, port.out.n);

		if (!n) {
			device_broken(port.device, "a buffer without room");
			return;
		}
		vq_push(q, c.head, n);
		buffer_drop(&port.out, n);
	}
	vq_interrupt(q);
	for (int i = 1; i < NR_SESSIONS; i++)
		if (clients[i] && port.out.n < WINDOW)
			watch_client(clients[i]);
}

void port_send(int session, int type, int stream, const void *body, size_t n)
{
	struct message m = { type, stream, session, n };

	buffer_add(&port.out, &m, sizeof(m));
	buffer_add(&port.out, body, n);
	flush();
}

/* take from the guest */
static void free_client(int id)
{
	struct client *c = clients[id];

	if (c->fd >= 0 || (c->opened && !c->ended))
		return;
	free(c->out.data);
	free(c);
	clients[id] = NULL;
}

static void take(void *arg, const struct message *m, const uint8_t *body)
{
	struct client *c = m->session < NR_SESSIONS ?
		clients[m->session] : NULL;

	if (m->session == 0)
		session_take(NULL, m, body);
	if (!c || c->out.n > 4 * BODY_MAX)
		return;
	if (m->type == EXIT)
		c->ended = true;
	if (c->fd >= 0) {
		buffer_add(&c->out, m, sizeof(*m));
		buffer_add(&c->out, body, m->length);
		watch_client(c);
	}
	free_client(m->session);
}

static void receive(struct device *d)
{
	struct chain c;

	while (vq_pop(&d->vq[FROM_GUEST], &c)) {
		for (int i = 0; i < c.nr_out; i++)
			if (!frames_feed(&port.in, c.iov[i].iov_base,
					 c.iov[i].iov_len, take, NULL)) {
				device_broken(d, "a message that is too long");
				return;
			}
		vq_push(&d->vq[FROM_GUEST], c.head, 0);
	}
	vq_interrupt(&d->vq[FROM_GUEST]);
}

/* talk about the port */
static void tell_about_port(struct device *d)
{
	static const int events[] = { VIRTIO_CONSOLE_PORT_ADD,
		VIRTIO_CONSOLE_PORT_NAME, VIRTIO_CONSOLE_PORT_OPEN };
	struct vq *q = &d->vq[CONTROL_FROM_US];
	struct chain c;

	for (int i = 0; i < 3; i++) {
		struct { struct virtio_console_control c; char name[24]; }
			m = { { .id = 0, .event = events[i], .value = 1 } };
		size_t n = sizeof(m.c);

		if (!(port.to_tell >> i & 1) || !vq_pop(q, &c))
			continue;
		port.to_tell &= ~(1 << i);
		if (events[i] == VIRTIO_CONSOLE_PORT_NAME)
			n += sprintf(m.name, AGENT_PORT);
		vq_push(q, c.head, fill(&c, &m, n));
	}
	vq_interrupt(q);
}

static void hear_about_port(struct device *d, const struct chain *c)
{
	struct virtio_console_control m;

	if (!c->nr_out || c->iov[0].iov_len < sizeof(m))
		return;
	memcpy(&m, c->iov[0].iov_base, sizeof(m));
	if (m.event == VIRTIO_CONSOLE_DEVICE_READY && m.value == 1)
		port.to_tell |= 1;
	if (m.event == VIRTIO_CONSOLE_PORT_READY && m.value == 1)
		port.to_tell |= 6;
	if (m.event == VIRTIO_CONSOLE_PORT_OPEN && m.id == 0) {
		if (!port.open && m.value == 1)
			session_begin();
		port.open = m.value == 1;
		flush();
	}
}

/* the port as a device */
static void kick(struct device *d, int queue)
{
	struct vq *q = &d->vq[CONTROL_FROM_GUEST];
	struct chain c;

	if (queue == FROM_US)
		flush();
	if (queue == FROM_GUEST)
		receive(d);
	if (queue == CONTROL_FROM_GUEST) {
		while (vq_pop(q, &c)) {
			hear_about_port(d, &c);
			vq_push(q, c.head, 0);
		}
		vq_interrupt(q);
	}
	tell_about_port(d);
}

static void reset(struct device *d)
{
	port.open = false;
	port.to_tell = 0;
	port.in.have = 0;
}

void port_add(struct guest *g)
{
	static const struct device_ops ops = {
		.name = "port", .type = VIRTIO_ID_CONSOLE,
		.queues = NR_QUEUES,
		.config_size = sizeof(struct virtio_console_config),
		.features = 1ULL << VIRTIO_CONSOLE_F_MULTIPORT,
		.kick = kick, .reset = reset,
	};
	struct virtio_console_config config = { .max_nr_ports = 1 };

	port.device = device_add(g, &ops, NULL);
	memcpy(port.device->config, &config, sizeof(config));
}

/* sessions of other programs */
static socklen_t address_of(struct sockaddr_un *a, const char *name)
{
	int n;

	*a = (struct sockaddr_un) { .sun_family = AF_UNIX };
	n = snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1,
		     "lguest/%u/%s", getuid(), name);
	return offsetof(struct sockaddr_un, sun_path) + 1 + n;
}

static bool same_user(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) &&
		peer.uid == getuid();
}

int port_connect(const char *name)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un a;

	if (fd < 0 || connect(fd, (void *)&a, address_of(&a, name)) < 0)
		die(NO_RESOURCE, "no guest named %s runs here that takes "
		    "commands: only one started with --root or a command "
		    "does, under its --name or its process number", name);
	if (!same_user(fd))
		die(BAD_HOST, "somebody else's program answers for the "
		    "guest %s: nothing was sent to it", name);
	return fd;
}

static void leave(struct client *c)
{
	unwatch(c->fd);
	close(c->fd);
	c->fd = -1;
	if (c->opened && !c->ended)
		port_send(c->id, CLOSE, 0, NULL, 0);
	free_client(c->id);
}

static void from_client(void *arg, const struct message *m,
			const uint8_t *body)
{
	struct client *c = arg;

	if ((m->type == OPEN) == c->opened || m->type > SIGNAL)
		return;
	c->opened = true;
	port_send(c->id, m->type, m->stream, body, m->length);
}

static void serve_client(void *arg, short revents)
{
	struct client *c = arg;
	uint8_t text[PIECE];
	ssize_t n;

	if (revents & POLLOUT) {
		n = send(c->fd, c->out.data, c->out.n, MSG_DONTWAIT);
		if (n > 0)
			buffer_drop(&c->out, n);
	}
	if (revents & (POLLIN | POLLHUP)) {
		n = recv(c->fd, text, sizeof(text), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN) ||
		    (n > 0 && !frames_feed(&c->in, text, n, from_client, c))) {
			leave(c);
			return;
		}
	}
	watch_client(c);
}

static void watch_client(struct client *c)
{
	if (c->fd >= 0)
		watch(c->fd, (port.out.n < WINDOW ? POLLIN : 0) |
		      (c->out.n ? POLLOUT : 0), serve_client, c);
}

static void welcome(void *arg, short revents)
{
	int fd = accept4(*(int *)arg, NULL, NULL, SOCK_CLOEXEC), id = 1;

	if (fd < 0)
		return;
	while (id < NR_SESSIONS && clients[id])
		id++;
	if (id < NR_SESSIONS && same_user(fd))
		clients[id] = calloc(1, sizeof(struct client));
	if (id == NR_SESSIONS || !clients[id]) {
		close(fd);
		return;
	}
	*clients[id] = (struct client) { .fd = fd, .id = id };
	watch_client(clients[id]);
}

void name_take(const char *name)
{
	static int fd;
	struct sockaddr_un a;
	char number[16];

	if (!name && !port.device)
		return;
	snprintf(number, sizeof(number), "%d", getpid());
	name = name ?: number;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (void *)&a, address_of(&a, name)) < 0)
		die(NO_RESOURCE, errno == EADDRINUSE ?
		    "a guest named %s runs already: choose another --name" :
		    "the name %s cannot be taken: %m", name);
	if (port.device && (listen(fd, 8) < 0 ||
			    watch(fd, POLLIN, welcome, &fd) < 0))
		die(NO_RESOURCE, "the guest %s cannot listen: %m", name);
}
