/* SPDX-License-Identifier: GPL-2.0 */
/* The one place that knows how host kernels differ (6.1 to 6.12). */
#ifndef LG_HOST_H
#define LG_HOST_H

#include <linux/version.h>
#include <linux/eventfd.h>
/* headers of the host */
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <asm/cpufeature.h>
#include <asm/tlbflush.h>
#include <asm/fpu/api.h>
#include <asm/desc.h>

/* signal an eventfd */
static inline void host_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/* ask whether the host clears buffers */
static inline bool host_clears_buffers(void)
{
#ifdef X86_FEATURE_CLEAR_CPU_BUF
	if (static_cpu_has(X86_FEATURE_CLEAR_CPU_BUF))
		return true;
#endif
	return static_cpu_has_bug(X86_BUG_MDS) ||
	       static_cpu_has_bug(X86_BUG_TAA) ||
	       static_cpu_has_bug(X86_BUG_MMIO_STALE_DATA);
}

/* name what must be off */
#define HOST_CR4_OFF	(X86_CR4_PGE | X86_CR4_SMAP | X86_CR4_PKE | \
			 X86_CR4_PCE | X86_CR4_TSD | X86_CR4_OSXSAVE | \
			 BIT(23) /* CET */ | \
			 BIT(27) /* LASS */ | BIT(28) /* LAM */)

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
#define host_shrinker_data(s)	((s)->private_data)
#else
#define host_shrinker_data(s)	(*(void **)((s) + 1))

static inline struct shrinker *shrinker_alloc(unsigned int flags, char *name)
{
	return kzalloc(sizeof(struct shrinker) + sizeof(void *), GFP_KERNEL);
}

static inline void shrinker_register(struct shrinker *s)
{
	s->seeks = DEFAULT_SEEKS;
	if (register_shrinker(s, "lguest"))
		pr_warn("lguest: no shrinker for want of memory\n");
}

static inline void shrinker_free(struct shrinker *s)
{
	if (!s)
		return;
	unregister_shrinker(s);		/* nothing, if it is not registered */
	kfree(s);
}
#endif

#endif
