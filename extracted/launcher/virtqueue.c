// SPDX-License-Identifier: GPL-2.0
#include "launcher.h"

/* find guest memory */
void *guest_at(struct guest *g, uint64_t addr, uint64_t len)
{
	uint64_t size = g->dom.frames << PAGE_SHIFT;

	if (addr > size || len > size - addr)
		return NULL;
	return g->dom.mem + addr;
}

/* check a queue's rings */
static bool broken(struct vq *q, const char *why)
{
	device_broken(q->dev, "queue %d has %s", (int)(q - q->dev->vq), why);
	return false;
}

bool vq_enable(struct vq *q)
{
	struct guest *g = q->dev->g;
	uint64_t n = q->size;

	if (!n || n > VQ_MAX || n & (n - 1))
		return broken(q, "a size that is no power of two, "
			      "or too large");
	if (q->desc & 15 || q->avail & 1 || q->used & 3)
		return broken(q, "a ring that is not aligned");
	q->d = guest_at(g, q->desc, n * sizeof(*q->d));
	q->a = guest_at(g, q->avail, 6 + n * 2);
	q->u = guest_at(g, q->used, 6 + n * sizeof(struct vring_used_elem));
	if (!q->d || !q->a || !q->u)
		return broken(q, "a ring outside the guest's memory");
	q->last_avail = q->used_idx = q->signalled = 0;
	return true;
}

/* see whether a chain waits */
static uint16_t waiting(struct vq *q)
{
	return __atomic_load_n(&q->a->idx, __ATOMIC_ACQUIRE) - q->last_avail;
}

static bool available(struct vq *q)
{
	uint16_t n = waiting(q);

	/* ask for a bell at the next chain */
	if (!n && accepted(q->dev, VIRTIO_RING_F_EVENT_IDX)) {
		uint16_t *event = (uint16_t *)&q->u->ring[q->size];

		/* Ask to be rung at the next chain, then look again. */
		__atomic_store_n(event, q->last_avail, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		n = waiting(q);
	}
	return n > q->size ? broken(q, "an impossible avail index") : n;
}

/* follow a chain */
static bool follow(struct vq *q, struct chain *c)
{
	const volatile struct vring_desc *table = q->d;
	uint32_t entries = q->size, i = c->head;
	struct vring_desc d;
	/* further variables of a walk */
	bool nested = false;
	void *p;

	do {
		if (i >= entries)
			return broken(q, "a descriptor outside its table");
		d = table[i];		/* once: the guest may change it */
		p = guest_at(q->dev->g, d.addr, d.len);
		if (!p)
			return broken(q, "a buffer outside the guest's memory");
		/* go on in an indirect table */
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (nested || d.flags & VRING_DESC_F_NEXT ||
			    !d.len || d.len % sizeof(d) ||
			    !accepted(q->dev, VIRTIO_RING_F_INDIRECT_DESC))
				return broken(q, "a bad indirect table");
			nested = true;
			table = p;
			entries = d.len / sizeof(d);
			i = 0;
			d.flags = VRING_DESC_F_NEXT;
			continue;
		}
		/* add a buffer to the chain */
		if (c->nr_out + c->nr_in == CHAIN_MAX)
			return broken(q, "a chain that is too long");
		c->iov[c->nr_out + c->nr_in] = (struct iovec) { p, d.len };
		if (d.flags & VRING_DESC_F_WRITE) {
			c->nr_in++;
			c->in_len += d.len;
		} else if (c->nr_in) {
			return broken(q, "a readable buffer after a writable one");
		} else {
			c->nr_out++;
			c->out_len += d.len;
		}
		i = d.next;
	} while (d.flags & VRING_DESC_F_NEXT);
	return true;
}

/* take a chain */
bool vq_pop(struct vq *q, struct chain *c)
{
	if (!q->ready || (q->dev->status & (VIRTIO_CONFIG_S_DRIVER_OK |
	    VIRTIO_CONFIG_S_NEEDS_RESET)) != VIRTIO_CONFIG_S_DRIVER_OK ||
	    !available(q))
		return false;
	c->head = __atomic_load_n(&q->a->ring[q->last_avail % q->size],
				  __ATOMIC_RELAXED);
	c->nr_out = c->nr_in = 0;
	c->out_len = c->in_len = 0;
	if (!follow(q, c))
		return false;
	q->last_avail++;
	return true;
}

/* give a chain back */
void vq_push(struct vq *q, uint16_t head, uint32_t written)
{
	q->u->ring[q->used_idx++ % q->size] =
		(struct vring_used_elem) { head, written };
}

/* interrupt if the driver wants it */
void vq_interrupt(struct vq *q)
{
	uint16_t new = q->used_idx, old = q->signalled;

	if (new == old)
		return;
	q->signalled = new;
	/* The entries, then the index, then what the driver wants. */
	__atomic_store_n(&q->u->idx, new, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* ask the event index instead of the flag */
	if (accepted(q->dev, VIRTIO_RING_F_EVENT_IDX)) {
		uint16_t event = __atomic_load_n(&q->a->ring[q->size],
						 __ATOMIC_RELAXED);

		if (vring_need_event(event, new, old))
			device_irq(q->dev, 1);
		return;
	}
	if (!(__atomic_load_n(&q->a->flags, __ATOMIC_RELAXED) &
	      VRING_AVAIL_F_NO_INTERRUPT))
		device_irq(q->dev, 1);
}

/* move bytes of a chain */
static size_t move(struct iovec **v, int *n, uint8_t *here, size_t len, bool in)
{
	size_t done = 0;

	while (*n && done < len) {
		uint8_t *there = (*v)->iov_base;
		size_t k = (*v)->iov_len;

		/* move bytes of one buffer */
		if (k > len - done)
			k = len - done;
		if (here && in)
			memcpy(there, here + done, k);
		else if (here)
			memcpy(here + done, there, k);
		done += k;
		(*v)->iov_base = there + k;
		(*v)->iov_len -= k;
		if (!(*v)->iov_len) {
			++*v;
			--*n;
		}
	}
	return done;
}

size_t iov_read(struct iovec **v, int *n, void *to, size_t len)
{
	return move(v, n, to, len, false);
}

size_t iov_write(struct iovec **v, int *n, const void *from, size_t len)
{
	return move(v, n, (void *)from, len, true);
}
