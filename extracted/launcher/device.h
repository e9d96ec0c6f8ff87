/* SPDX-License-Identifier: GPL-2.0 */
/* What the devices, their queues and the loop know of each other. */
#ifndef DEVICE_H
#define DEVICE_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#define VQ_MAX		256	/* entries of a queue */
#define CHAIN_MAX	256	/* buffers of a chain */

struct device;

/* a queue and a chain */
struct vq {
	/* As the guest sees them, from byte 0x18 of the common registers. */
	uint16_t size, vector, ready, number;
	uint64_t desc, avail, used;	/* guest-physical */
	/* The same rings, checked, as seen from here. */
	struct vring_desc *d;
	struct vring_avail *a;
	struct vring_used *u;
	uint16_t last_avail, used_idx, signalled;
	int kick;			/* eventfd: the guest rang */
	struct device *dev;
};

struct chain {
	uint16_t head;
	int nr_out, nr_in;
	size_t out_len, in_len;
	struct iovec iov[CHAIN_MAX];	/* out first, then in */
};

/* a device and its functions */
struct device_ops {
	const char *name;
	uint16_t type;			/* virtio 1.2, chapter 5 */
	uint8_t queues, config_size;
	uint64_t features;		/* beside those of every device */
	/* All are called with devices_lock held. */
	void (*kick)(struct device *d, int queue);
	void (*reset)(struct device *d);	/* optional: end what runs */
	void (*ready)(struct device *d);	/* optional: DRIVER_OK is set */
};

struct device {
	/* The common registers up to byte 0x18, as the guest sees them. */
	uint32_t feature_select, feature, driver_select, driver_feature;
	uint16_t vector, nr_queues;
	uint8_t status, generation;
	uint16_t queue_select;
	const struct device_ops *ops;
	struct guest *g;
	void *priv;
	int n;				/* on the bus: 00:n.0 */
	int complaints;
	uint64_t features;		/* offered; some may add to them */
	uint64_t accepted;		/* by the driver */
	struct vq vq[LG_NR_QUEUES];
	uint8_t config[128];
};

static inline bool accepted(const struct device *d, int feature)
{
	return d->accepted >> feature & 1;
}

/* functions for devices */
/* loop.c */
extern pthread_mutex_t devices_lock;	/* devices, queues, the loop's table */
int watch(int fd, uint32_t events, void (*fn)(void *arg, short revents),
	  void *arg);
void unwatch(int fd);
void loop_work(void);
void *loop(void *arg);

/* virtqueue.c */
void *guest_at(struct guest *g, uint64_t addr, uint64_t len);
bool vq_enable(struct vq *q);
bool vq_pop(struct vq *q, struct chain *c);
void vq_push(struct vq *q, uint16_t head, uint32_t written);
void vq_interrupt(struct vq *q);

/* Copy from or to the front of the buffers, which shrink by that much. */
size_t iov_read(struct iovec **v, int *n, void *to, size_t len);
size_t iov_write(struct iovec **v, int *n, const void *from, size_t len);

/* pci.c */
struct device *device_add(struct guest *g, const struct device_ops *ops,
			  void *priv);
void device_broken(struct device *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void device_config_changed(struct device *d);
void device_irq(struct device *d, unsigned int bits);
void device_io(struct lg_run *run);
void devices_open(struct guest *g);
void devices_reset(void);

/* one file a device */
void block_add(struct guest *g, const char *spec);
void net_add(struct guest *g, const char *spec);
void rng_add(struct guest *g);
void devices_connect(struct guest *g);

#endif
