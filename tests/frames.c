// SPDX-License-Identifier: GPL-2.0
/*
 * launcher/net.c without a guest: frames of random sizes go both ways through
 * buffers of random sizes, with full queues and full cables; then random
 * headers.  Compiled with it, and with the sanitizers, by tests/t/frames.
 */
#include "net.c"

#include <assert.h>

#define BYTES	(1UL << 22)
#define RX_AT	0x10000UL	/* where the buffers lie */
#define TX_AT	0x200000UL

bool quiet;
static struct guest guest = { .fd = -1 };
static struct device device;
static struct net net;
static uint32_t seed = 1;
static int frames_in, frames_out, waits, interrupts;

void note(const char *fmt, ...) { }
void die(int code, const char *fmt, ...) { abort(); }
void device_broken(struct device *d, const char *fmt, ...) { abort(); }
void device_config_changed(struct device *d) { }
void device_irq(struct device *d, unsigned int bits) { interrupts++; }
struct device *device_add(struct guest *g, const struct device_ops *o, void *p)
{
	abort();
}

static uint32_t noise(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static void pattern(uint8_t *frame, size_t size, uint32_t key)
{
	memset(frame, 0, HEADER);
	for (size_t i = HEADER; i < size; i++)
		frame[i] = (i * 7 + key) >> 3;
}

static void same(const uint8_t *frame, size_t size, uint32_t key)
{
	static uint8_t right[FRAME_MAX];

	pattern(right, size, key);
	assert(!memcmp(right + HEADER, frame + HEADER, size - HEADER));
}

static void start(struct vq *q, int number, uint64_t at)
{
	*q = (struct vq) { .dev = &device, .number = number, .size = VQ_MAX,
			   .desc = at, .avail = at + 0x1000, .used = at + 0x2000 };
	q->kick = eventfd(0, EFD_NONBLOCK);
	assert(vq_enable(q));
	q->ready = 1;
}

/* The driver's side of the receive queue; buffers come back in order. */
static uint16_t offered, seen;
static struct { size_t size; uint32_t key; } sent[64];
static unsigned int first, last;

static void offer(struct vq *q)
{
	uint16_t i = offered % VQ_MAX;

	if ((uint16_t)(offered - seen) == VQ_MAX)
		return;
	q->d[i] = (struct vring_desc) { RX_AT + i * 0x1000UL,
		HEADER + noise(noise(3) ? 2000 : 4), VRING_DESC_F_WRITE, 0 };
	q->a->ring[i] = i;
	__atomic_store_n(&q->a->idx, ++offered, __ATOMIC_RELEASE);
}

static void look(struct vq *q)
{
	static uint8_t frame[FRAME_MAX];

	while (seen != __atomic_load_n(&q->u->idx, __ATOMIC_ACQUIRE)) {
		uint16_t parts = 1;
		size_t size = 0;

		for (int i = 0; i < parts; i++, seen++) {
			struct vring_used_elem *e = &q->u->ring[seen % VQ_MAX];

			/* All buffers of a frame are published together. */
			assert(seen != q->u->idx && e->id == seen % VQ_MAX);
			assert(e->len <= q->d[e->id].len);
			memcpy(frame + size, guest.dom.mem + RX_AT +
			       e->id * 0x1000UL, e->len);
			if (!i)
				memcpy(&parts, frame + 10, sizeof(parts));
			size += e->len;
		}
		assert(first != last && size == sent[first % 64].size);
		same(frame, size, sent[first++ % 64].key);
		frames_in++;
	}
}

static void send_in(int far)
{
	static uint8_t frame[FRAME_MAX];
	size_t size = HEADER + 14 + noise(noise(8) ? 3000 : 60000);
	uint32_t key = seed;

	pattern(frame, size, key);
	if (last - first == 64 || write(far, frame, size) < 0)
		return;
	sent[last % 64].size = size;
	sent[last++ % 64].key = key;
}

/* One chain at a time in the transmit queue. */
static void send_out(struct vq *q, int far)
{
	static uint8_t frame[FRAME_MAX];
	size_t size = HEADER + 14 + noise(60000), done = 0;
	uint16_t before = q->a->idx;
	uint32_t key = seed;
	ssize_t got;
	int i;

	pattern(guest.dom.mem + TX_AT, size, key);
	for (i = 0; done < size; i++) {
		uint32_t n = i > 200 ? size - done : 1 + noise(500);

		n = n > size - done ? size - done : n;
		q->d[i] = (struct vring_desc) { TX_AT + done, n,
			done + n < size ? VRING_DESC_F_NEXT : 0, i + 1 };
		done += n;
	}
	q->a->ring[before % VQ_MAX] = 0;
	__atomic_store_n(&q->a->idx, before + 1, __ATOMIC_RELEASE);
	kick(&device, TX);
	while (q->u->idx == before) {	/* the cable is full */
		assert(net.full && net.events & POLLOUT);
		assert(read(far, frame, sizeof(frame)) > 0);
		kick(&device, TX);
		waits++;
	}
	if (noise(4))
		return;
	while ((got = read(far, frame, sizeof(frame))) > 0)
		frames_out++, done = got;
	assert(done == size);
	same(frame, size, key);
}

static void try_headers(void)
{
	uint8_t frame[256];
	int fine = 0;

	device.accepted |= 1UL << VIRTIO_NET_F_CSUM | 1UL << VIRTIO_NET_F_HOST_TSO4;
	for (int i = 0; i < 1000000; i++) {
		struct virtio_net_hdr_v1 *h = (void *)frame;
		size_t size = noise(200);

		for (int j = 0; j < HEADER; j++)
			frame[j] = noise(3) ? noise(8) : noise(256);
		if (!permitted(&device, frame, size, VIRTIO_NET_F_CSUM,
			       VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6))
			continue;
		fine++;
		assert(size >= HEADER + 14 && (!(h->flags & 1) || HEADER +
			h->csum_start + h->csum_offset + 2 <= size));
		assert(!h->gso_type || (h->gso_type == 1 && h->flags & 1 &&
					h->gso_size));
	}
	assert(fine > 1000);
	printf("%d of 1000000 random headers are permitted, all sound\n", fine);
}

int main(void)
{
	int ends[2];

	guest.dom.mem = calloc(1, BYTES);
	guest.dom.frames = BYTES >> PAGE_SHIFT;
	device = (struct device) { .ops = &ops, .g = &guest, .priv = &net,
		.status = VIRTIO_CONFIG_S_DRIVER_OK,
		.accepted = 1UL << VIRTIO_NET_F_MRG_RXBUF };
	net.dev = &device;
	assert(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends));
	net.cable = ends[0];
	start(&device.vq[RX], RX, 0);
	start(&device.vq[TX], TX, 0x4000);
	for (int i = 0; i < 300000; i++) {
		uint32_t what = noise(32);

		if (what < 20)
			offer(&device.vq[RX]);
		else if (what < 28)
			send_in(ends[1]);
		else if (what < 31)
			kick(&device, RX);
		else
			send_out(&device.vq[TX], ends[1]);
		assert(net.events & POLLIN || what < 28);
		look(&device.vq[RX]);
	}
	printf("%d frames in, %d out, the cable was full %d times, %d interrupts\n",
	       frames_in, frames_out, waits, interrupts);
	assert(frames_in > 10000 && frames_out > 1000 && waits > 10);
	try_headers();
	return 0;
}
