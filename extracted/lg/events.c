// SPDX-License-Identifier: GPL-2.0
/* Event channels, the 2-level kind: interrupts in two bitmaps. */
#include <linux/eventfd.h>
#include <xen/interface/event_channel.h>
#include "lg.h"
#include "host.h"

/* ask for an upcall */
static void upcall(struct lg_vcpu *v, unsigned int port)
{
	/* wake those who poll */
	lg_wake_pollers(v->vm);
	if (test_bit(port, v->vm->shared->evtchn_mask))
		return;
	set_bit(port / 64, &v->info->evtchn_pending_sel);
	/* The word before the flag: the guest clears the flag, then looks. */
	smp_store_release(&v->info->evtchn_upcall_pending, 1);
	lg_kick(v);
}

/* raise an event */
void lg_event_raise(struct lg_vm *vm, unsigned int port)
{
	unsigned long flags;

	spin_lock_irqsave(&vm->event_lock, flags);
	if (port && !test_and_set_bit(port, vm->shared->evtchn_pending))
		upcall(vm->vcpus[vm->ports[port].vcpu], port);
	spin_unlock_irqrestore(&vm->event_lock, flags);
}

/* connect a port with the launcher */
int lg_event_notify(struct lg_vm *vm, unsigned int port, int fd)
{
	struct eventfd_ctx *ctx = NULL;

	if (port >= LG_NR_NOTIFY)
		return -EINVAL;
	if (fd >= 0) {
		ctx = eventfd_ctx_fdget(fd);
		if (IS_ERR(ctx))
			return PTR_ERR(ctx);
	}
	/* exchange the eventfd */
	spin_lock_irq(&vm->event_lock);
	swap(vm->ports[port].notify, ctx);
	if (vm->ports[port].notify)
		vm->ports[port].type = EVTCHNSTAT_interdomain;
	spin_unlock_irq(&vm->event_lock);
	if (ctx)
		eventfd_ctx_put(ctx);
	return 0;
}

/* give all eventfds back */
void lg_event_free(struct lg_vm *vm)
{
	int i;

	for (i = 0; i < LG_NR_NOTIFY; i++)
		if (vm->ports[i].notify)
			eventfd_ctx_put(vm->ports[i].notify);
}

/* claim and close ports */
static long claim(struct lg_vcpu *v, u8 type, u8 virq, u16 *place,
		  evtchn_port_t *port)
{
	struct lg_vm *vm = v->vm;
	int i = LG_PORT_CONSOLE + 1;

	if (place && *place)
		return -EEXIST;
	while (i < LG_NR_PORTS && vm->ports[i].type != EVTCHNSTAT_closed)
		i++;
	if (i == LG_NR_PORTS)
		return -ENOSPC;
	vm->ports[i].type = type;
	vm->ports[i].virq = virq;
	vm->ports[i].vcpu = v->id;
	if (place)
		WRITE_ONCE(*place, i);
	*port = i;
	return 0;
}

/* close a port */
static long close_port(struct lg_vcpu *v, unsigned int port)
{
	struct lg_port *p = &v->vm->ports[port];

	if (p->type == EVTCHNSTAT_closed)
		return -EINVAL;
	if (p->type == EVTCHNSTAT_virq)
		v->virq_port[p->virq] = 0;
	/* close a device's port */
	if (p->type == EVTCHNSTAT_pirq)
		v->vm->pirq_port[p->virq] = 0;
	p->type = EVTCHNSTAT_closed;
	clear_bit(port, v->vm->shared->evtchn_pending);
	return 0;
}

/* send, unmask and tell */
static long send(struct lg_vcpu *v, unsigned int port)
{
	struct lg_port *p = &v->vm->ports[port];

	if (p->type == EVTCHNSTAT_closed)
		return -EINVAL;
	if (p->type == EVTCHNSTAT_interdomain && p->notify)
		host_eventfd_signal(p->notify);
	else if (p->type == EVTCHNSTAT_ipi &&
		 !test_and_set_bit(port, v->vm->shared->evtchn_pending))
		upcall(v, port);
	return 0;
}

/* arguments of event calls */
union event_arg {
	struct evtchn_bind_virq virq;
	struct evtchn_bind_ipi ipi;
	struct evtchn_alloc_unbound unbound;
	struct evtchn_bind_vcpu vcpu;
	struct evtchn_status status;
	/* arguments of event calls for devices */
	struct evtchn_bind_pirq pirq;
	evtchn_port_t port;		/* close, send, unmask */
};

/* tell the size of an argument */
static const u8 arg_size[] = {
	[EVTCHNOP_bind_virq] = sizeof(struct evtchn_bind_virq),
	[EVTCHNOP_bind_ipi] = sizeof(struct evtchn_bind_ipi),
	[EVTCHNOP_alloc_unbound] = sizeof(struct evtchn_alloc_unbound),
	[EVTCHNOP_bind_vcpu] = sizeof(struct evtchn_bind_vcpu),
	[EVTCHNOP_status] = sizeof(struct evtchn_status),
	/* sizes of arguments for devices */
	[EVTCHNOP_bind_pirq] = sizeof(struct evtchn_bind_pirq),
	[EVTCHNOP_close] = sizeof(evtchn_port_t),
	[EVTCHNOP_send] = sizeof(evtchn_port_t),
	[EVTCHNOP_unmask] = sizeof(evtchn_port_t),
};

static long move(struct lg_vcpu *to, unsigned int port)
{
	struct lg_port *p = &to->vm->ports[port];

	if (p->type != EVTCHNSTAT_interdomain && p->type != EVTCHNSTAT_pirq &&
	    p->type != EVTCHNSTAT_unbound)
		return -EINVAL;
	p->vcpu = to->id;
	if (test_bit(port, to->vm->shared->evtchn_pending))
		upcall(to, port);
	return 0;
}

/* answer an event call */
/* answer it under the lock */
static long event_op(struct lg_vcpu *v, unsigned int op, union event_arg *a)
{
	struct lg_vm *vm = v->vm;
	evtchn_port_t port = op == EVTCHNOP_status ? a->status.port : a->port;
	/* variables of an event call for devices */
	u32 n;

	/* turn to the vCPU that is meant */
	n = op == EVTCHNOP_bind_virq ? a->virq.vcpu :
	    op == EVTCHNOP_bind_ipi ? a->ipi.vcpu :
	    op == EVTCHNOP_bind_vcpu ? a->vcpu.vcpu : 0;
	/* find the vCPU that has the port */
	if ((op == EVTCHNOP_close || op == EVTCHNOP_send ||
	     op == EVTCHNOP_unmask) && port < LG_NR_PORTS)
		n = vm->ports[array_index_nospec(port, LG_NR_PORTS)].vcpu;
	if (n >= vm->nr_vcpus)
		return -ENOENT;
	v = vm->vcpus[array_index_nospec(n, vm->nr_vcpus)];
	/* hand out a port */
	switch (op) {
	case EVTCHNOP_bind_virq:
		if (a->virq.virq >= NR_VIRQS || a->virq.vcpu != v->id)
			return -EINVAL;
		return claim(v, EVTCHNSTAT_virq, a->virq.virq,
			     &v->virq_port[a->virq.virq], &a->virq.port);
	case EVTCHNOP_bind_ipi:
		if (a->ipi.vcpu != v->id)
			return -ENOENT;
		return claim(v, EVTCHNSTAT_ipi, 0, NULL, &a->ipi.port);
	case EVTCHNOP_alloc_unbound:
		return claim(v, EVTCHNSTAT_unbound, 0, NULL, &a->unbound.port);
	/* hand out a port for a device */
	case EVTCHNOP_bind_pirq:
		n = a->pirq.pirq - LG_PIRQ(0);
		if (n >= LG_NR_DEVICES)
			return -EINVAL;
		return claim(v, EVTCHNSTAT_pirq, n, &vm->pirq_port[n], &a->pirq.port);
	}
	if (port >= LG_NR_PORTS)
		return -EINVAL;
	/* act on a port */
	switch (op) {
	case EVTCHNOP_bind_vcpu:
		/* move the port */
		return move(v, port);
		return a->vcpu.vcpu != v->id ? -ENOENT : 0;
	case EVTCHNOP_close:
		return close_port(v, port);
	case EVTCHNOP_send:
		return send(v, port);
	/* unmask a port */
	case EVTCHNOP_unmask:
		clear_bit(port, vm->shared->evtchn_mask);
		if (test_bit(port, vm->shared->evtchn_pending))
			upcall(v, port);
		return 0;
	/* tell a port's status */
	case EVTCHNOP_status:
		a->status.status = vm->ports[port].type;
		a->status.vcpu = vm->ports[port].vcpu;
		a->status.u.virq = vm->ports[port].virq;
		return 0;
	}
	return -ENOSYS;
}

long lg_event_op(struct lg_vcpu *v, unsigned int op, u64 arg)
{
	union event_arg a;
	size_t size;
	long ret;

	if (op >= ARRAY_SIZE(arg_size))
		return -ENOSYS;
	size = arg_size[array_index_nospec(op, ARRAY_SIZE(arg_size))];
	if (!size)
		return -ENOSYS;
	if (lg_read(v, arg, &a, size))
		return -EFAULT;
	spin_lock_irq(&v->vm->event_lock);
	ret = event_op(v, op, &a);
	spin_unlock_irq(&v->vm->event_lock);
	if (!ret && lg_write(v, arg, &a, size))
		ret = -EFAULT;
	return ret;
}
