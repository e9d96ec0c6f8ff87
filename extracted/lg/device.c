// SPDX-License-Identifier: GPL-2.0
/* Devices: their ports, bells and interrupts.  The rest is the launcher's. */
#include "lg.h"
#include <xen/interface/physdev.h>
#include "host.h"

/* answers that need no exit */
static void ring(struct lg_vm *vm, unsigned int device, unsigned int queue)
{
	struct lg_port *bell;
	unsigned long flags;

	if (queue >= LG_NR_QUEUES)
		return;
	bell = &vm->ports[LG_BELL(device, queue)];
	spin_lock_irqsave(&vm->event_lock, flags);
	if (bell->notify)
		host_eventfd_signal(bell->notify);
	spin_unlock_irqrestore(&vm->event_lock, flags);
}

static bool at_once(struct lg_vcpu *v, u16 port, bool out, u8 size)
{
	unsigned int device = (port - LG_BAR(0)) / 0x100, at = port & 0xff;

	if (port < LG_BAR(0) || (out ? at / 0x40 != LG_BAR_NOTIFY / 0x40 :
				 at != LG_BAR_ISR))
		return false;
	if (out)
		ring(v->vm, device, (at - LG_BAR_NOTIFY) / 2);
	else
		lg_set_rax(v->d, size, atomic_xchg(&v->vm->isr[device], 0));
	v->stats.ports++;
	return true;
}

/* take an access to a device's port */
bool lg_device_io(struct lg_vcpu *v, u16 port, bool out, u8 size)
{
	struct lg_run *run = &v->run;

	if (port >> 13 != LG_BAR(0) >> 13 && port >> 3 != 0xcf8 >> 3)
		return false;
	/* answer for the bus where nobody is */
	if (port == 0xcf8 && size == 4 && out)
		v->vm->config = v->d->rax & 0x80fffffc;
	run->config = v->vm->config;
	if (port == 0xcf8 && !out)
		lg_set_rax(v->d, size, run->config);
	if (port < 0xcfc ||
	    (port < LG_BAR(0) && (run->config & ~0xf8fcU) != 0x80000000))
		return port == 0xcf8;
	/* see to bell and status at once */
	if (at_once(v, port, out, size))
		return true;
	/* be wholly in the host */
	lg_to_host(v);
	/* end the run for the launcher */
	run->exit = LG_EXIT_IO;
	run->port = port;
	run->size = size;
	run->write = out;
	run->value = v->d->rax & (~0U >> (32 - 8 * size));
	v->port_read = out ? 0 : size;
	return true;
}

/* raise a device's interrupt */
long lg_device_irq(struct lg_vm *vm, unsigned long arg)
{
	unsigned int n = arg & 0xff, bits = arg >> 8;

	if (!smp_load_acquire(&vm->vcpus[0]) || n >= LG_NR_DEVICES || arg >> 16)
		return -EINVAL;
	if (!bits)
		return atomic_xchg(&vm->isr[n], 0);
	/* First the bits, then the event: see the guest's end of interrupt. */
	atomic_or(bits, &vm->isr[n]);
	smp_mb__after_atomic();
	lg_event_raise(vm, READ_ONCE(vm->pirq_port[n]));
	return 0;
}

/* answer calls about a device's interrupt */
long lg_pirq_op(struct lg_vcpu *v, unsigned int op, u64 arg)
{
	struct physdev_irq_status_query q;	/* begins as physdev_eoi */
	u32 n;

	if (lg_read(v, arg, &q.irq, sizeof(q.irq)))
		return -EFAULT;
	n = q.irq - LG_PIRQ(0);
	if (n >= LG_NR_DEVICES)
		return -EINVAL;
	q.flags = XENIRQSTAT_needs_eoi;
	if (op == PHYSDEVOP_irq_status_query)
		return lg_write(v, arg, &q, sizeof(q));
	if (atomic_read(&v->vm->isr[n]))
		lg_event_raise(v->vm, READ_ONCE(v->vm->pirq_port[n]));
	return 0;
}
