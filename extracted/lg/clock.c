// SPDX-License-Identifier: GPL-2.0
/* Guest time: pvclock over the TSC, wall clock, one timer a vCPU. */
#include <linux/ktime.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>
#include "lg.h"

/* compute shift and factor */
/* ns = (tsc << shift) * mul >> 32 (pvclock-abi.h); it is constant. */
static void scale(u32 *mul, s8 *shift)
{
	u64 hz = (u64)tsc_khz * 1000, ns = NSEC_PER_SEC;

	*shift = 0;
	while (hz > 2 * ns) {
		hz >>= 1;
		--*shift;
	}
	while (hz <= ns) {
		hz <<= 1;
		++*shift;
	}
	*mul = div64_u64(ns << 32, hz);
}

/* fill a clock record */
void lg_clock_fill(struct lg_vm *vm, struct pvclock_vcpu_time_info *t)
{
	memset(t, 0, sizeof(*t));
	t->version = 2;
	t->tsc_timestamp = vm->tsc_start;
	scale(&t->tsc_to_system_mul, &t->tsc_shift);
	t->flags = PVCLOCK_TSC_STABLE_BIT;
}

/* read the guest's clock */
u64 lg_clock_now(struct lg_vm *vm)
{
	struct pvclock_vcpu_time_info t;

	lg_clock_fill(vm, &t);
	return __pvclock_read_cycles(&t, rdtsc_ordered());
}

/* ring the bell */
static enum hrtimer_restart timer_rings(struct hrtimer *timer)
{
	struct lg_vcpu *v = container_of(timer, struct lg_vcpu, timer);

	WRITE_ONCE(v->timer_fired, true);
	lg_kick(v);
	return HRTIMER_NORESTART;
}

/* set and stop the timer */
int lg_timer_set(struct lg_vcpu *v, u64 when)
{
	u64 now = lg_clock_now(v->vm);
	u64 delta = when > now ? when - now : 0;

	delta = min_t(u64, delta, KTIME_MAX / 2);
	hrtimer_start(&v->timer, ns_to_ktime(delta), HRTIMER_MODE_REL);
	return 0;
}

void lg_timer_stop(struct lg_vcpu *v)
{
	hrtimer_cancel(&v->timer);
	WRITE_ONCE(v->timer_fired, false);
}

/* start the clock */
void lg_clock_init(struct lg_vcpu *v)
{
	struct pvclock_wall_clock *wc = &v->vm->shared->wc;
	struct timespec64 now;

	hrtimer_init(&v->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	v->timer.function = timer_rings;
	ktime_get_real_ts64(&now);
	v->vm->tsc_start = rdtsc_ordered();
	wc->sec = now.tv_sec;
	wc->nsec = now.tv_nsec;
	v->vm->shared->wc_sec_hi = (u64)now.tv_sec >> 32;
	wc->version = 2;
	lg_clock_fill(v->vm, &v->info->time);
}
