// SPDX-License-Identifier: GPL-2.0
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "vhost.h"

/* keep the guest's memory in a file */
static bool wanted;		/* there is a device that needs it */
static int memfd = -1;

int vhost_memory(size_t size)
{
	if (!wanted)
		return -1;
	close(memfd);
	memfd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memfd < 0 || ftruncate(memfd, size) < 0 ||
	    fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		die(NO_RESOURCE, "the host refuses %lu MiB of shared memory "
		    "for the guest (%m)", size / MiB);
	return memfd;
}

/* the words of the protocol */
enum request {
	GET_FEATURES = 1, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE,
	SET_VRING_KICK, SET_VRING_CALL, GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES, SET_VRING_ENABLE = 18, GET_CONFIG = 24,
};

#define VERSION		1		/* flags of a message */
#define REPLY		(1 << 2)
#define NEED_REPLY	(1 << 3)

#define F_PROTOCOL	(1UL << 30)	/* among the device's features */
#define P_REPLY_ACK	(1UL << 3)	/* features of the protocol */
#define P_CONFIG	(1UL << 9)

struct message {
	uint32_t request, flags, size;
	union {
		uint64_t number;
		struct { uint32_t index, value; } state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} ring;
		struct {
			uint32_t regions, pad;
			uint64_t guest, size, user, offset;
		} memory;
		struct {
			uint32_t offset, size, flags;
			uint8_t data[128];
		} config;
	};
} __attribute__((packed));

#define HEAD		offsetof(struct message, number)
#define CONFIG_HEAD	(offsetof(struct message, config.data) - HEAD)

/* the state of a front end */
struct vhost {
	struct device *d;
	struct device_ops ops;
	struct backend *b;
	uint64_t protocol;
	int call[VHOST_QUEUES];
	uint32_t started;	/* bit q: the back end has queue q */
};

/* send and receive one message */
static bool send_message(int sock, struct message *m, uint32_t size, int fd)
{
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } c;
	struct iovec iov = { m, HEAD + size };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	m->flags |= VERSION;
	m->size = size;
	if (fd >= 0) {
		h.msg_control = c.room;
		h.msg_controllen = sizeof(c.room);
		*CMSG_FIRSTHDR(&h) = (struct cmsghdr) {
			CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&h)), &fd, sizeof(int));
	}
	return sendmsg(sock, &h, MSG_NOSIGNAL) == HEAD + size;
}

static bool receive_reply(int sock, struct message *m)
{
	uint32_t request = m->request;
	ssize_t want = HEAD;

	memset(m, 0, sizeof(*m));
	if (recv(sock, m, want, MSG_WAITALL) != want ||
	    m->request != request || !(m->flags & REPLY) ||
	    m->size > sizeof(*m) - HEAD)
		return false;
	want = m->size;
	return recv(sock, &m->number, want, MSG_WAITALL) == want;
}

static bool tell(struct vhost *v, struct message m, uint32_t size, int fd)
{
	bool ack = v->protocol & P_REPLY_ACK;

	m.flags = ack ? NEED_REPLY : 0;
	return send_message(v->b->sock, &m, size, fd) &&
		(!ack || (receive_reply(v->b->sock, &m) && !m.number));
}

static bool ask(struct vhost *v, struct message *m, uint32_t size)
{
	return send_message(v->b->sock, m, size, -1) &&
		receive_reply(v->b->sock, m);
}

/* notice that a back end is gone */
static void forget_queue(struct vhost *v, int q)
{
	if (v->call[q] >= 0) {
		unwatch(v->call[q]);
		close(v->call[q]);
	}
	v->call[q] = -1;
}

static void lost(struct vhost *v)
{
	int status;

	backend_stop(v->b);
	status = v->b->status;
	for (int q = 0; q < v->ops.queues; q++)
		forget_queue(v, q);
	v->started = 0;
	device_broken(v->d, "%s is gone (%s %d)", v->b->what,
		      WIFSIGNALED(status) ? "signal" : "exit status",
		      WIFSIGNALED(status) ? WTERMSIG(status) :
		      WEXITSTATUS(status));
}

static void on_hangup(void *arg, short revents)
{
	lost(arg);
}

/* give the back end its queues */
static void on_call(void *arg, short revents)
{
	struct vq *q = arg;
	struct vhost *v = q->dev->priv;
	eventfd_t count;

	eventfd_read(v->call[q - q->dev->vq], &count);
	device_irq(q->dev, 1);
}

static bool start_queue(struct vhost *v, int i)
{
	struct vq *q = &v->d->vq[i];
	uint64_t base = (uintptr_t)v->d->g->dom.mem;
	struct message num = { SET_VRING_NUM, .state = { i, q->size } };
	struct message rings = { SET_VRING_ADDR, .ring = {
		.index = i, .desc = base + q->desc, .used = base + q->used,
		.avail = base + q->avail } };
	struct message first = { SET_VRING_BASE, .state = { i, 0 } };
	struct message call = { SET_VRING_CALL, .number = i };
	struct message kick = { SET_VRING_KICK, .number = i };
	struct message enable = { SET_VRING_ENABLE, .state = { i, 1 } };

	v->call[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	watch(v->call[i], POLLIN, on_call, q);
	v->started |= 1 << i;
	return tell(v, num, sizeof(num.state), -1) &&
		tell(v, rings, sizeof(rings.ring), -1) &&
		tell(v, first, sizeof(first.state), -1) &&
		tell(v, call, sizeof(call.number), v->call[i]) &&
		tell(v, kick, sizeof(kick.number), q->kick) &&
		tell(v, enable, sizeof(enable.state), -1);
}

/* start and stop with the driver */
static bool start(struct vhost *v)
{
	struct domain *dom = &v->d->g->dom;
	struct message features = { SET_FEATURES,
		.number = v->d->accepted | F_PROTOCOL };
	struct message memory = { SET_MEM_TABLE, .memory = { .regions = 1,
		.size = dom->frames << PAGE_SHIFT,
		.user = (uintptr_t)dom->mem } };

	if (!tell(v, features, sizeof(features.number), -1) ||
	    !tell(v, memory, sizeof(memory.memory), memfd))
		return false;
	for (int q = 0; q < v->ops.queues; q++)
		if (v->d->vq[q].ready && !start_queue(v, q))
			return false;
	return true;
}

static void vhost_ready(struct device *d)
{
	struct vhost *v = d->priv;

	if (v->b->sock < 0 || !start(v))
		lost(v);
}

static void vhost_reset(struct device *d)
{
	struct vhost *v = d->priv;

	for (int q = 0; q < v->ops.queues; q++) {
		struct message m = { GET_VRING_BASE, .state = { q, 0 } };

		if (!(v->started & 1 << q))
			continue;
		if (!ask(v, &m, sizeof(m.state)))
			return lost(v);
		forget_queue(v, q);
	}
	v->started = 0;
}

/* agree on what both sides can do */
static bool negotiate(struct vhost *v, uint64_t wanted)
{
	struct message f = { GET_FEATURES }, p = { GET_PROTOCOL_FEATURES };
	struct message set = { SET_PROTOCOL_FEATURES };
	struct message owner = { SET_OWNER };

	if (!ask(v, &f, 0) || !(f.number & F_PROTOCOL) || !ask(v, &p, 0))
		return false;
	v->ops.features = f.number & wanted;
	set.number = p.number & (P_REPLY_ACK | P_CONFIG);
	if (!tell(v, set, sizeof(set.number), -1))
		return false;
	v->protocol = set.number;
	return tell(v, owner, 0, -1);
}

static bool read_config(struct vhost *v, struct message *m)
{
	uint8_t size = v->ops.config_size;

	*m = (struct message) { GET_CONFIG, .config = { 0, size } };
	return v->protocol & P_CONFIG && ask(v, m, CONFIG_HEAD + size) &&
		m->config.size == size;
}

/* make a device of a back end */
struct device *vhost_add(struct guest *g, struct backend *b,
			 const struct device_ops *like, const void *config)
{
	struct vhost *v = calloc(1, sizeof(*v));
	struct message m;

	*v = (struct vhost) { .b = b, .ops = *like };
	v->ops.reset = vhost_reset;
	v->ops.ready = vhost_ready;
	memset(v->call, -1, sizeof(v->call));
	wanted = true;
	if (!negotiate(v, like->features) || (!config && !read_config(v, &m)))
		die(NO_RESOURCE, "%s does not work; it says why in the lines "
		    "above", b->what);
	v->d = device_add(g, &v->ops, v);
	v->d->features = v->ops.features;
	for (int q = 0; q < v->ops.queues; q++)
		unwatch(v->d->vq[q].kick);
	memcpy(v->d->config, config ? config : m.config.data,
	       v->ops.config_size);
	watch(b->sock, 0, on_hangup, v);
	return v->d;
}

/* end back ends */
void backend_stop(struct backend *b)
{
	if (b->sock < 0)
		return;
	kill(b->pid, b->end);
	waitpid(b->pid, &b->status, 0);
	unwatch(b->sock);
	close(b->sock);
	b->sock = -1;
}

static struct backend *backends;

static void backends_stop(void)
{
	for (struct backend *b = backends; b; b = b->next)
		backend_stop(b);
}

/* start a back end */
static int listen_and_connect(int *listener)
{
	char dir[] = "/tmp/lguest-XXXXXX";
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	*listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!mkdtemp(dir))
		die(NO_RESOURCE, "no directory can be made in /tmp (%m)");
	strcat(strcpy(a.sun_path, dir), "/s");
	ok = !bind(*listener, (void *)&a, sizeof(a)) &&
		!listen(*listener, 1) && !connect(sock, (void *)&a, sizeof(a));
	unlink(a.sun_path);
	rmdir(dir);
	if (!ok)
		die(NO_RESOURCE, "no socket can be made in /tmp");
	return sock;
}

static _Noreturn void become(struct backend *b, pid_t parent, int listener,
			     int said, char **argv)
{
	struct rlimit files;
	int error;

	setpgid(0, 0);
	listener = fcntl(listener, F_DUPFD_CLOEXEC, 10);
	said = fcntl(said, F_DUPFD_CLOEXEC, 10);
	/* allow it as many files as possible */
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	error = b->prepare ? b->prepare(b->arg) : 0;
	prctl(PR_SET_PDEATHSIG, b->end);
	if (getppid() != parent)
		_exit(0);
	if (!error) {
		/* put its files in place */
		dup2(open("/dev/null", O_RDWR | O_CLOEXEC), 0);
		dup2(2, 1);
		dup2(listener, BACKEND_FD);
		execv(argv[0], argv);
		error = errno;
	}
	_exit(write(said, &error, sizeof(error)) < 0);
}

int backend_start(struct backend *b, char **argv)
{
	struct timeval patience = { .tv_sec = 30 };
	pid_t self = getpid();
	int listener, said[2], error = 0;

	b->sock = listen_and_connect(&listener);
	if (pipe2(said, O_CLOEXEC) < 0 || (b->pid = fork()) < 0)
		die(NO_RESOURCE, "%s cannot be started (%m)", b->what);
	if (!b->pid)
		become(b, self, listener, said[1], argv);
	close(listener);
	close(said[1]);
	if (!backends)
		atexit(backends_stop);
	b->next = backends;
	backends = b;
	if (read(said[0], &error, sizeof(error)) > 0)
		backend_stop(b);
	close(said[0]);
	setsockopt(b->sock, SOL_SOCKET, SO_RCVTIMEO, &patience,
		   sizeof(patience));
	return error;
}
