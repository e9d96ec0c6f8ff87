// SPDX-License-Identifier: GPL-2.0
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "launcher.h"

/* the bus */
#define FEATURE(name)	(1ULL << VIRTIO_##name)

static struct function {
	uint8_t space[256];	/* configuration space */
	bool sizing;		/* all ones were written to the BAR */
	struct device *d;	/* none: the host bridge, or nothing */
} bus[LG_NR_DEVICES];
static int nr_functions;

/* fill a configuration space */
static void put(uint8_t *space, int at, uint32_t value, int size)
{
	memcpy(space + at, &value, size);
}

static void put_ids(uint8_t *space, uint32_t ids, uint32_t class)
{
	put(space, PCI_VENDOR_ID, ids, 4);
	put(space, PCI_CLASS_REVISION, class << 8 | 1, 4);
}

/* Where the capabilities stand; each leads to the next. */
enum { CAP_COMMON = 0x40, CAP_NOTIFY = 0x50, CAP_ISR = 0x64,
       CAP_DEVICE = 0x74, CAP_WINDOW = 0x84 };
#define WINDOW(field)	\
	(CAP_WINDOW + offsetof(struct virtio_pci_cfg_cap, field))

static void put_capabilities(uint8_t *space)
{
	/* list the capabilities */
	static const struct virtio_pci_cap caps[] = {
		{ PCI_CAP_ID_VNDR, CAP_NOTIFY, 16, VIRTIO_PCI_CAP_COMMON_CFG,
		  .offset = 0, .length = sizeof(struct virtio_pci_common_cfg) },
		{ PCI_CAP_ID_VNDR, CAP_ISR, 20, VIRTIO_PCI_CAP_NOTIFY_CFG,
		  .offset = LG_BAR_NOTIFY, .length = 2 * LG_NR_QUEUES },
		{ PCI_CAP_ID_VNDR, CAP_DEVICE, 16, VIRTIO_PCI_CAP_ISR_CFG,
		  .offset = LG_BAR_ISR, .length = 1 },
		{ PCI_CAP_ID_VNDR, CAP_WINDOW, 16, VIRTIO_PCI_CAP_DEVICE_CFG,
		  .offset = LG_BAR_CONFIG, .length = 0x80 },
		{ PCI_CAP_ID_VNDR, 0, 20, VIRTIO_PCI_CAP_PCI_CFG },
	};
	static const uint8_t at[] = { CAP_COMMON, CAP_NOTIFY, CAP_ISR,
				      CAP_DEVICE, CAP_WINDOW };

	for (int i = 0; i < 5; i++)
		memcpy(space + at[i], &caps[i], sizeof(caps[i]));
	put(space, CAP_NOTIFY + sizeof(*caps), 2, 4);	/* the multiplier */
	put(space, PCI_CAPABILITY_LIST, CAP_COMMON, 1);
	put(space, PCI_STATUS, PCI_STATUS_CAP_LIST, 2);
}

/* interrupt the guest */
void device_irq(struct device *d, unsigned int bits)
{
	ioctl(d->g->fd, LG_IRQ, d->n | bits << 8);
}

void device_config_changed(struct device *d)
{
	d->generation++;
	if (d->status & VIRTIO_CONFIG_S_DRIVER_OK)
		device_irq(d, 2);
}

void device_broken(struct device *d, const char *fmt, ...)
{
	char text[128];
	va_list ap;

	if (d->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	d->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	device_config_changed(d);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (d->complaints++ < 8)
		note("the guest's driver broke the device %s at 00:%02x.0: %s; "
		     "it needs a reset", d->ops->name, d->n, text);
}

/* reset a device */
static void device_init(struct device *d)
{
	d->feature_select = d->driver_select = d->queue_select = 0;
	d->driver_feature = d->status = d->accepted = 0;
	d->feature = d->features;
	d->vector = VIRTIO_MSI_NO_VECTOR;
	d->nr_queues = d->ops->queues;
	for (int i = 0; i < d->nr_queues; i++)
		d->vq[i] = (struct vq) {
			.size = VQ_MAX, .vector = VIRTIO_MSI_NO_VECTOR,
			.number = i, .kick = d->vq[i].kick, .dev = d,
		};
}

static void kicked(void *arg, short revents)
{
	struct vq *q = arg;

	if (q->ready && q->dev->ops->kick)
		q->dev->ops->kick(q->dev, q->number);
}

static void device_reset(struct device *d)
{
	if (d->ops->reset)
		d->ops->reset(d);
	device_init(d);
	device_irq(d, 0);
}

void devices_reset(void)
{
	pthread_mutex_lock(&devices_lock);
	for (int i = 1; i < nr_functions; i++) {
		for (int q = 0; q < bus[i].d->nr_queues; q++)
			kicked(&bus[i].d->vq[q], 0);
		device_reset(bus[i].d);
	}
}

/* add a device */
static struct function *next_function(void)
{
	if (!nr_functions)
		put_ids(bus[nr_functions++].space, 0x00081b36, 0x060000);
	if (nr_functions == LG_NR_DEVICES)
		die(BAD_USAGE, "a guest has at most %d devices",
		    LG_NR_DEVICES - 1);
	return &bus[nr_functions++];
}

struct device *device_add(struct guest *g, const struct device_ops *ops,
			  void *priv)
{
	struct function *f = next_function();
	struct device *d = calloc(1, sizeof(*d));

	if (!d)
		die(NO_RESOURCE, "no memory for the device %s", ops->name);
	*d = (struct device) { .ops = ops, .g = g, .priv = priv, .n = f - bus };
	d->features = ops->features | FEATURE(F_VERSION_1);
	/* offer further features */
	d->features |= FEATURE(RING_F_EVENT_IDX);
	d->features |= FEATURE(RING_F_INDIRECT_DESC);
	device_init(d);
	/* hang a bell on each queue */
	for (int i = 0; i < ops->queues; i++) {
		struct vq *q = &d->vq[i];

		q->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (q->kick < 0 || watch(q->kick, POLLIN | EPOLLET, kicked, q))
			die(NO_RESOURCE, "no file descriptor for the device "
			    "%s (%m): see ulimit -n", ops->name);
	}
	f->d = d;
	/* describe the function on the bus */
	put_ids(f->space, (0x1040 + ops->type) << 16 | 0x1af4, 0xff0000);
	put(f->space, PCI_SUBSYSTEM_VENDOR_ID, 0x1af4, 2);
	put(f->space, PCI_INTERRUPT_LINE, LG_PIRQ(d->n) | 1 << 8, 2);
	put(f->space, PCI_BASE_ADDRESS_0, LG_BAR(d->n) | 1, 4);
	put_capabilities(f->space);
	return d;
}

/* set a device's status */
static void set_status(struct device *d, uint8_t status)
{
	uint8_t new = status & ~d->status;

	if (!status) {
		device_reset(d);
		return;
	}
	/* agree on the features, or not */
	if (new & VIRTIO_CONFIG_S_FEATURES_OK &&
	    (d->accepted & ~d->features || !accepted(d, VIRTIO_F_VERSION_1)))
		status &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	d->status |= status;		/* a reset alone takes bits away */
	if (!(d->status & VIRTIO_CONFIG_S_FEATURES_OK))
		d->status &= ~VIRTIO_CONFIG_S_DRIVER_OK;
	if (!(new & d->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	if (d->ops->ready)
		d->ops->ready(d);
	for (int i = 0; i < d->nr_queues; i++)
		eventfd_write(d->vq[i].kick, 1);
}

static void select_features(struct device *d)
{
	bool offered = d->feature_select < 2, taken = d->driver_select < 2;

	d->feature = offered ? d->features >> 32 * d->feature_select : 0;
	d->driver_feature = taken ? d->accepted >> 32 * d->driver_select : 0;
}

static void accept_features(struct device *d, uint32_t bits)
{
	int shift = 32 * d->driver_select;

	if (d->driver_select < 2 && !(d->status & VIRTIO_CONFIG_S_FEATURES_OK))
		d->accepted = (d->accepted & ~(0xffffffffULL << shift)) |
			      (uint64_t)bits << shift;
}

/* write a queue's registers */
static void write_queue(struct vq *q, unsigned int at, unsigned int size,
			uint32_t value)
{
	memcpy((uint8_t *)q + at, &value, size);
	q->vector = VIRTIO_MSI_NO_VECTOR;
	q->number = q - q->dev->vq;
	q->ready = q->ready && vq_enable(q);
}

/* serve the common registers */
static void write_common(struct device *d, unsigned int at, unsigned int size,
			 uint32_t value)
{
	if (at == VIRTIO_PCI_COMMON_GF)
		accept_features(d, value);
	else if (at == VIRTIO_PCI_COMMON_STATUS)
		set_status(d, value);
	else if (at == VIRTIO_PCI_COMMON_DFSELECT ||
		 at == VIRTIO_PCI_COMMON_GFSELECT ||
		 at == VIRTIO_PCI_COMMON_Q_SELECT)
		memcpy((uint8_t *)d + at, &value, size);
	select_features(d);
}

#define QUEUE	VIRTIO_PCI_COMMON_Q_SIZE	/* the selected queue's begin */

static void common(struct device *d, unsigned int at, unsigned int size,
		   bool write, uint32_t *value)
{
	struct vq *q = &d->vq[d->queue_select % LG_NR_QUEUES];
	bool queue = at >= QUEUE && d->queue_select < d->nr_queues;

	if (at + size <= QUEUE && write)
		write_common(d, at, size, *value);
	else if (at + size <= QUEUE)
		memcpy(value, (uint8_t *)d + at, size);
	else if (queue && !write)
		memcpy(value, (uint8_t *)q + at - QUEUE, size);
	else if (queue && !q->ready && at != VIRTIO_PCI_COMMON_Q_NOFF)
		write_queue(q, at - QUEUE, size, *value);
}

/* serve a device's ports */
static void bar(struct device *d, unsigned int at, unsigned int size,
		bool write, uint32_t *value)
{
	unsigned int config = at - LG_BAR_CONFIG;
	unsigned int queue = (at - LG_BAR_NOTIFY) / 2;

	if (!write)
		*value = 0;
	if (at + size <= sizeof(struct virtio_pci_common_cfg))
		common(d, at, size, write, value);
	else if (at >= LG_BAR_CONFIG) {
		if (!write && config + size <= d->ops->config_size)
			memcpy(value, d->config + config, size);
	} else if (at == LG_BAR_ISR && !write)
		*value = ioctl(d->g->fd, LG_IRQ, d->n);
	else if (at >= LG_BAR_NOTIFY && write && queue < d->nr_queues)
		eventfd_write(d->vq[queue].kick, 1);
}

/* serve the configuration space */
static void window(struct function *f, bool write, uint32_t *value)
{
	uint32_t at, length;

	memcpy(&at, f->space + WINDOW(cap.offset), 4);
	memcpy(&length, f->space + WINDOW(cap.length), 4);
	if (f->space[WINDOW(cap.bar)] == 0 && at < 256 &&
	    (length == 1 || length == 2 || length == 4) && at + length <= 256)
		bar(f->d, at, length, write, value);
}

static void config_write(struct function *f, unsigned int at,
			 unsigned int size, uint32_t value)
{
	if (at == PCI_COMMAND)
		put(f->space, at, value & 0x407, 2);
	else if (at == PCI_BASE_ADDRESS_0 && size == 4)
		f->sizing = value == ~0U;
	else if (at == WINDOW(cap.bar) ||
		 (at >= WINDOW(cap.offset) && at < WINDOW(pci_cfg_data)))
		memcpy(f->space + at, &value, size);
}

static void config(struct function *f, unsigned int at, unsigned int size,
		   bool write, uint32_t *value)
{
	if (!write)
		*value = 0;
	if (f->d && at == WINDOW(pci_cfg_data))
		window(f, write, value);
	else if (f->d && write)
		config_write(f, at, size, *value);
	else if (!write && f->sizing && at == PCI_BASE_ADDRESS_0)
		*value = 0xffffff01;
	else if (!write)
		memcpy(value, f->space + at, size);
}

/* answer a guest's access to a port */
void device_io(struct lg_run *run)
{
	bool space = run->port < LG_BAR(0);
	unsigned int n = space ? run->config >> 11 & 31 :
			 (run->port - LG_BAR(0)) / 0x100;
	uint32_t value = run->write ? run->value : ~0U;

	pthread_mutex_lock(&devices_lock);
	/* No access across four bytes. */
	if (space && n < nr_functions && (run->port & 3) + run->size <= 4)
		config(&bus[n], (run->config & 0xfc) + (run->port & 3),
		       run->size, run->write, &value);
	else if (!space && n < nr_functions && bus[n].d)
		bar(bus[n].d, run->port & 0xff, run->size, run->write, &value);
	pthread_mutex_unlock(&devices_lock);
	run->value = value;
}

/* make and connect the devices */
void devices_open(struct guest *g)
{
	pthread_t thread;

	/* make the devices */
	for (char **s = g->opt->block; s && *s; s++) {
		/* leave other kinds of disks to others */
		if (storage_wants(*s)) {
			storage_add(g, *s);
			continue;
		}
		block_add(g, *s);
	}
	if (g->opt->net)
		net_add(g, g->opt->net);
	if (g->opt->rng)
		rng_add(g);
	shares_open(g);
	/* start the loop */
	pthread_mutex_lock(&devices_lock);
	errno = nr_functions ? pthread_create(&thread, NULL, loop, NULL) : 0;
	if (errno)
		die(NO_RESOURCE, "cannot start the devices' thread: %m");
}

void devices_connect(struct guest *g)
{
	for (int n = 1; n < nr_functions; n++)
		for (int i = 0; i < bus[n].d->ops->queues; i++) {
			struct lg_notify bell = { LG_BELL(n, i),
						  bus[n].d->vq[i].kick };

			if (ioctl(g->fd, LG_NOTIFY, &bell) < 0)
				die(INTERNAL, "LG_NOTIFY: %m");
		}
}
