// SPDX-License-Identifier: GPL-2.0
/* Guest time: pvclock over the TSC, wall clock, one timer a vCPU. */
#include <linux/clocksource.h>
#include <asm/pvclock.h>
#include "lg.h"

/* fill a clock record */
/* ns = (tsc << shift) * mul >> 32 (pvclock-abi.h); it is constant. */
void lg_clock_fill(struct lg_vm *vm, struct pvclock_vcpu_time_info *t)
{
	u32 shift;

	memset(t, 0, sizeof(*t));
	t->version = 2;
	t->tsc_timestamp = vm->tsc_start;
	clocks_calc_mult_shift(&t->tsc_to_system_mul, &shift, tsc_khz,
			       NSEC_PER_MSEC, 0);
	t->tsc_shift = 32 - shift;
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
	u64 now = lg_clock_now(v->vm), delta = max(when, now) - now;

	hrtimer_start_range_ns(&v->timer, min_t(u64, delta, KTIME_MAX / 2),
			       current->timer_slack_ns, HRTIMER_MODE_REL);
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
	/* set the clock but once */
	if (v->vm->tsc_start) {
		lg_clock_fill(v->vm, &v->info->time);
		return;
	}
	ktime_get_real_ts64(&now);
	v->vm->tsc_start = rdtsc_ordered();
	wc->sec = now.tv_sec;
	wc->nsec = now.tv_nsec;
	v->vm->shared->wc_sec_hi = (u64)now.tv_sec >> 32;
	wc->version = 2;
	lg_clock_fill(v->vm, &v->info->time);
}
