// SPDX-License-Identifier: GPL-2.0
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <slirp/libvdeslirp.h>
#include <sys/resource.h>

#include "launcher.h"

/* the state of a network device */
enum { RX, TX };

#define HEADER		sizeof(struct virtio_net_hdr_v1)
#define FRAME_MAX	(HEADER + ETHER_HDR_LEN + 4 + 65535)
#define BURST		64		/* frames, then it's others' turn */

struct net {
	struct device *dev;
	int cable;		/* a read or write is one frame */
	uint32_t events;	/* what the loop watches it for */
	bool full;		/* it did not take the last frame */
	size_t bare;		/* bytes of the header that it leaves out */
	size_t waiting;		/* bytes of in[] that wait for buffers */
	uint8_t in[HEADER + FRAME_MAX] __attribute__((aligned(8)));
};

/* large frames */
#define NEVER		63		/* a feature that nobody offers */

static bool permitted(const struct device *d, const void *header, size_t size,
		      int csum, int tso4, int tso6)
{
	const struct virtio_net_hdr_v1 *h = header;
	bool partial = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

	if (size < HEADER + ETHER_HDR_LEN || size > FRAME_MAX ||
	    (h->flags && !accepted(d, csum)) || (partial && HEADER +
	     h->csum_start + h->csum_offset + sizeof(uint16_t) > size))
		return false;
	if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	if (h->gso_type != VIRTIO_NET_HDR_GSO_TCPV4)
		tso4 = h->gso_type == VIRTIO_NET_HDR_GSO_TCPV6 ? tso6 : NEVER;
	return partial && h->gso_size && accepted(d, tso4);
}

static void ready(struct device *d)
{
	ioctl(((struct net *)d->priv)->cable, TUNSETOFFLOAD,
	      (accepted(d, VIRTIO_NET_F_GUEST_CSUM) ? TUN_F_CSUM : 0) |
	      (accepted(d, VIRTIO_NET_F_GUEST_TSO4) ? TUN_F_TSO4 : 0) |
	      (accepted(d, VIRTIO_NET_F_GUEST_TSO6) ? TUN_F_TSO6 : 0));
}

static bool deliver_merged(struct net *n)
{
	struct vq *q = &n->dev->vq[RX];
	uint16_t before = q->last_avail, parts = 0, heads[VQ_MAX];
	uint32_t bytes[VQ_MAX];
	struct chain c[2];		/* the first, and the latest */
	struct iovec *v, pieces[CHAIN_MAX];
	int left;

	/* fill buffers until the frame is in */
	for (size_t at = 0; at < n->waiting; at += bytes[parts++]) {
		struct chain *to = &c[!!parts];

		if (parts == q->size || !vq_pop(q, to)) {
			q->last_avail = before;
			return parts == q->size;
		}
		heads[parts] = to->head;
		left = to->nr_in;
		v = memcpy(pieces, to->iov + to->nr_out, left * sizeof(*v));
		bytes[parts] = iov_write(&v, &left, n->in + at, n->waiting - at);
	}
	/* say in the first how many there are */
	v = c[0].iov + c[0].nr_out;
	left = c[0].nr_in;
	iov_write(&v, &left, NULL, offsetof(struct virtio_net_hdr_v1, num_buffers));
	iov_write(&v, &left, &parts, sizeof(parts));
	for (int i = 0; i < parts; i++)
		vq_push(q, heads[i], bytes[i]);
	return true;
}


/* lay a frame into the guest's buffer */
static bool deliver(struct net *n)
{
	struct virtio_net_hdr_v1 *h = (void *)n->in;
	struct vq *q = &n->dev->vq[RX];
	struct iovec *v;
	struct chain c;

	/* lay it over several buffers */
	if (accepted(n->dev, VIRTIO_NET_F_MRG_RXBUF))
		return deliver_merged(n);
	if (!vq_pop(q, &c))
		return false;
	h->num_buffers = 1;
	v = c.iov + c.nr_out;
	if (c.in_len < n->waiting)
		q->last_avail--;
	else
		vq_push(q, c.head, iov_write(&v, &c.nr_in, h, n->waiting));
	return true;
}

/* move frames both ways */
static void receive(struct net *n)
{
	for (int i = 0; i < BURST; i++) {
		if (!n->waiting) {
			ssize_t size = read(n->cable, n->in + n->bare,
					    FRAME_MAX);

			/* leave if there is no frame */
			if (size < 0 && errno != EAGAIN && n->cable >= 0) {
				note("the tap of --net is gone (%m): the guest's link is down");
				unwatch(n->cable);
				close(n->cable);
				n->cable = -1;
				((struct virtio_net_config *)n->dev->config)->status = 0;
				device_config_changed(n->dev);
			}
			if (size <= 0)
				return;
			n->waiting = n->bare + size;
		}
		/* pass over what the guest cannot take */
		if (!permitted(n->dev, n->in, n->waiting, VIRTIO_NET_F_GUEST_CSUM,
			       VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6)) {
			n->waiting = 0;
			continue;
		}
		if (!deliver(n))
			return;
		n->waiting = 0;
	}
	eventfd_write(n->dev->vq[RX].kick, 1);
}

static void send_chain(struct net *n, struct chain *c)
{
	struct iovec *rest = c->iov, v[1 + CHAIN_MAX];
	struct virtio_net_hdr_v1 h;

	iov_read(&rest, &c->nr_out, &h, HEADER);
	if (c->out_len < HEADER + ETHER_HDR_LEN || c->out_len > FRAME_MAX)
		return;
	/* drop what the guest may not ask for */
	if (!permitted(n->dev, &h, c->out_len, VIRTIO_NET_F_CSUM,
		       VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6))
		return;
	v[0] = (struct iovec) { &h, HEADER - n->bare };
	memcpy(v + 1, rest, c->nr_out * sizeof(*v));
	if (writev(n->cable, v, 1 + c->nr_out) < 0 && errno == EAGAIN)
		n->full = true;
}

static void transmit(struct net *n, struct vq *q)
{
	struct chain c;
	int i;

	n->full = false;
	for (i = 0; i < BURST && !n->full && vq_pop(q, &c); i++) {
		send_chain(n, &c);
		if (n->full)
			q->last_avail--;
		else
			vq_push(q, c.head, 0);
	}
	if (i == BURST)
		eventfd_write(q->kick, 1);
}

static void work(void *arg, short revents)
{
	struct net *n = arg;
	uint32_t events;

	transmit(n, &n->dev->vq[TX]);
	receive(n);
	vq_interrupt(&n->dev->vq[TX]);
	vq_interrupt(&n->dev->vq[RX]);
	events = EPOLLET | POLLIN | (n->full ? POLLOUT : 0);
	if (n->cable >= 0 && events != n->events)
		watch(n->cable, events, work, n);
	n->events = events;
}

static void kick(struct device *d, int queue)
{
	work(d->priv, 0);
}

static void reset(struct device *d)
{
	((struct net *)d->priv)->waiting = 0;
}

/* open a tap */
static void open_tap(struct net *n, const char *name, uint8_t *mac)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI };

	n->cable = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (n->cable < 0)
		die(BAD_HOST, "cannot open /dev/net/tun (%m): `modprobe tun`, "
		    "or see `ls -l /dev/net/tun`");
	if (strlen(name) >= IFNAMSIZ || !if_nametoindex(name))
		die(NO_RESOURCE, "there is no tap '%s': make it with "
		    "`ip tuntap add %s mode tap user $USER`", name, name);
	strcpy(r.ifr_name, name);
	/* ask the tap for headers */
	r.ifr_flags |= IFF_VNET_HDR;
	/* take the tap and its address */
	if (ioctl(n->cable, TUNSETIFF, &r) < 0 ||
	    ioctl(n->cable, TUNSETOFFLOAD, 0) < 0 ||
	    ioctl(n->cable, SIOCGIFHWADDR, &r) < 0)
		die(NO_RESOURCE, "cannot use the tap %s (%m): %s", name,
		    errno == EBUSY ?
		    "another program has it, and each guest needs its own" :
		    errno == EPERM ? "it is not yours, as `ip tuntap` shows" :
		    "`ip tuntap` lists the taps; one with several queues won't do");
	memcpy(mac, r.ifr_hwaddr.sa_data, ETH_ALEN);
	mac[0] ^= 4;
}

/* open the user network */
#define USER_MTU	9000
#define USER_NET(host)	{ htonl(0x0a000200 + (host)) }

static struct vdeslirp *open_user(struct net *n)
{
	SlirpConfig c = {
		.version = 1, .in_enabled = true,
		.if_mtu = USER_MTU, .if_mru = USER_MTU,
		.vnetwork = USER_NET(0), .vnetmask = { htonl(0xffffff00) },
		.vhost = USER_NET(2), .vnameserver = USER_NET(3),
		.vdhcp_start = USER_NET(15),
	};
	struct rlimit files;
	struct vdeslirp *s;

	/* allow as many connections as the host does */
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	s = vdeslirp_open(&c);
	if (!s)
		die(NO_RESOURCE, "no thread or sockets for --net user (%m): "
		    "see ulimit -a");
	n->cable = vdeslirp_fd(s);
	fcntl(n->cable, F_SETFL, O_NONBLOCK);
	return s;
}

static void forward(struct vdeslirp *s, const char *text)
{
	struct in_addr host, guest = USER_NET(15);
	unsigned int from, to, end = 0;
	char protocol[4], address[16];

	/* take the forward apart */
	if (sscanf(text, "%3[a-z]:%15[0-9.]:%5u-%5u%n", protocol, address, &from,
		   &to, &end) != 4 || text[end] ||
	    (strcmp(protocol, "tcp") && strcmp(protocol, "udp")) ||
	    !inet_pton(AF_INET, address, &host) ||
	    from - 1 >= 65535 || to - 1 >= 65535)
		die(BAD_USAGE, "--net forward=%s: write PROTOCOL:ADDRESS:PORT-PORT, "
		    "such as tcp:127.0.0.1:2222-22", text);
	/* see whether the port is free */
	struct sockaddr_in at = { AF_INET, htons(from), host };
	int fd = socket(AF_INET, *protocol == 'u' ? SOCK_DGRAM : SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int) { 1 }, sizeof(int));
	if (bind(fd, (void *)&at, sizeof(at)) < 0 ||
	    (*protocol == 't' && listen(fd, 1) < 0))
		die(NO_RESOURCE, "--net forward=%s: cannot listen on port %u of %s "
		    "(%m): take another, from 1024 on, or end the program that "
		    "`ss -lntup` shows", text, from, address);
	close(fd);
	vdeslirp_add_fwd(s, *protocol == 'u', host, from, guest, to);
}

/* make a network device */
#define BIT(name)	(1UL << VIRTIO_NET_F_##name)

static const struct device_ops ops = {
	.name = "net", .type = VIRTIO_ID_NET, .queues = 2,
	.config_size = offsetof(struct virtio_net_config, speed),
	.features = BIT(MAC) | BIT(STATUS),
	.kick = kick, .reset = reset,
	/* further functions of a network device */
	.ready = ready,
};

void net_add(struct guest *g, const char *spec)
{
	struct net *n = calloc(1, sizeof(*n));
	char *rest = strdup(spec), *word = strsep(&rest, ",");
	bool user = !strcmp(word, "user");
	struct virtio_net_config *c;

	if (!strcmp(spec, "none"))
		return;
	if (!user && (rest || strncmp(word, "tap=", 4)))
		die(BAD_USAGE, "--net %s is none of user[,forward=...], "
		    "tap=NAME, none", spec);
	n->dev = device_add(g, &ops, n);
	n->bare = HEADER;
	c = (struct virtio_net_config *)n->dev->config;
	*c = (struct virtio_net_config) {
		.mac = "\x52\x54\x00\x12\x34\x56",
		.status = VIRTIO_NET_S_LINK_UP, .mtu = USER_MTU,
	};
	/* lay the cable */
	if (user) {
		struct vdeslirp *s = open_user(n);

		n->dev->features |= BIT(MTU);
		while ((word = strsep(&rest, ",")))
			if (!strncmp(word, "forward=", 8))
				forward(s, word + 8);
			else
				die(BAD_USAGE, "--net %s: what is '%s'?", spec, word);
	} else {
		open_tap(n, word + 4, c->mac);
	}
	/* offer large frames */
	n->dev->features |= BIT(MRG_RXBUF);
	if (!user) {
		if (ioctl(n->cable, TUNSETVNETHDRSZ, &(int) { HEADER }) < 0)
			die(BAD_HOST, "the tap %s gives no headers: %m", word + 4);
		n->bare = 0;
		n->dev->features |= BIT(CSUM) | BIT(HOST_TSO4) | BIT(HOST_TSO6) |
			BIT(GUEST_CSUM) | BIT(GUEST_TSO4) | BIT(GUEST_TSO6);
	}
	work(n, 0);
}
