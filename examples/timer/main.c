/* SPDX-License-Identifier: GPL-2.0 */
/* Ask for an event at a point in time, sleep, and be woken by it. */
#include "../guest.h"

#define MS	1000000UL

enum { BIND_VIRQ = 1, UNMASK = 9, VIRQ_TIMER = 0, BLOCK = 1 };
enum { STOP_PERIODIC = 7, SINGLE_SHOT = 8 };

static volatile struct shared_info *shared;
static u32 timer_port;
static volatile int ticks;

/* Nanoseconds since the guest was created, from the clock in shared_info. */
static u64 now(void)
{
	volatile struct vcpu_info *v = &shared->vcpu[0];
	u32 version, low, high;
	u64 delta, ns;

	do {
		version = v->time.version & ~1;	/* odd: being written */
		asm volatile("lfence; rdtsc" : "=a" (low), "=d" (high)
			     : : "memory");
		delta = ((u64)high << 32 | low) - v->time.tsc;
		if (v->time.shift >= 0)
			delta <<= v->time.shift;
		else
			delta >>= -v->time.shift;
		ns = v->time.ns +
		     ((unsigned __int128)delta * v->time.mul >> 32);
		asm volatile("" : : : "memory");
	} while (v->time.version != version);
	return ns;
}

/* The hypervisor jumps to event_entry when an event is pending. */
void on_event(struct regs *regs)
{
	u64 bit = 1UL << timer_port % 64;

	(void)regs;
	shared->vcpu[0].upcall_pending = 0;
	if (__atomic_exchange_n(&shared->vcpu[0].pending_sel, 0,
				__ATOMIC_SEQ_CST) >> timer_port / 64 & 1
	    && __atomic_fetch_and(&shared->pending[timer_port / 64], ~bit,
				  __ATOMIC_SEQ_CST) & bit)
		ticks++;
}
ENTRY(event_entry, on_event, NO_ERROR_CODE);

static void sleep_until(u64 when)
{
	struct { u64 when; u32 flags; } timer = { when, 0 };
	int before = ticks;

	shared->vcpu[0].upcall_mask = 1;	/* or it might come too early */
	if (hypercall(VCPU_OP, SINGLE_SHOT, 0, (u64)&timer, 0))
		say("timer: set_singleshot_timer was refused\n");
	while (ticks == before) {
		hypercall(SCHED_OP, BLOCK, 0, 0, 0);	/* lets events in */
		shared->vcpu[0].upcall_mask = 1;
	}
}

int main(void)
{
	struct { u16 type, flags; u64 entry; } callback =
		{ 0, 0, (u64)event_entry };
	struct { u32 virq, vcpu, port; } bind = { VIRQ_TIMER, 0, 0 };
	u64 start, before, after;
	int i, late = 0, back = 0;

	shared = map_shared_info();
	hypercall(CALLBACK_OP, 0, (u64)&callback, 0, 0);
	/* Before there is a port on which a tick of Xen's could wait */
	hypercall(VCPU_OP, STOP_PERIODIC, 0, 0, 0);
	if (hypercall(EVENT_CHANNEL_OP, BIND_VIRQ, (u64)&bind, 0, 0))
		return CRASH;
	timer_port = bind.port;
	hypercall(EVENT_CHANNEL_OP, UNMASK, (u64)&timer_port, 0, 0);

	say("timer: five events, 20 ms apart\n");
	start = before = now();
	for (i = 1; i <= 5; i++) {
		sleep_until(start + i * 20 * MS);
		after = now();
		back += after < before;
		/* Clocks are read and rounded more than once: 1 ms of grace */
		late += after + MS >= start + i * 20 * MS;
		before = after;
	}
	say("timer: %d events came, %d of them not too early\n",
	    (u64)ticks, (u64)late);
	say("timer: the clock went back %d times\n", (u64)back);
	return 0;
}
