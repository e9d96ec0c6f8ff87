// SPDX-License-Identifier: GPL-2.0
#include <linux/virtio_ids.h>
#include <sys/random.h>

#include "launcher.h"

/* fill buffers with random bytes */
static void kick(struct device *d, int queue)
{
	struct vq *q = &d->vq[queue];
	struct chain c;
	int n;

	for (n = 0; n < 16 && vq_pop(q, &c); n++) {
		struct iovec *in = c.iov + c.nr_out;
		uint8_t bytes[256];

		if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
			c.nr_in = 0;
		vq_push(q, c.head, iov_write(&in, &c.nr_in, bytes, 256));
	}
	vq_interrupt(q);
	if (n == 16)
		eventfd_write(q->kick, 1);
}

/* add an entropy device */
void rng_add(struct guest *g)
{
	static const struct device_ops ops = {
		.name = "rng", .type = VIRTIO_ID_RNG, .queues = 1,
		.kick = kick,
	};

	device_add(g, &ops, NULL);
}
