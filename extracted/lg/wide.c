// SPDX-License-Identifier: GPL-2.0
/* The wide registers of AVX and AVX-512, and what a guest knows of them. */
#include "lg.h"
#include <asm/fpu/xcr.h>
#include <asm/tlbflush.h>

/* components of XCR0 a guest may have */
#define XCR0_ALLOWED	(XFEATURE_MASK_FP | XFEATURE_MASK_SSE | \
			 XFEATURE_MASK_YMM | XFEATURE_MASK_AVX512)

static u64 xcr0_mask(const struct lg_vcpu *v)
{
	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return 0;
	return (v->held ? v->held->xcr0 :
		xgetbv(XCR_XFEATURE_ENABLED_MASK)) & XCR0_ALLOWED;
}

/* what leaves show of wide registers */
#define W1_ECX		0x34001000
#define W7_EBX		0xdc230020
#define W7_ECX		0x00005e42
#define W7_EDX		0x0080010c
#define W7_1_EAX	0x00000030
#define WE1_ECX		0x00010800
#define LD_1_EAX	0x00000007

/* compute the size of an XSAVE area */
/* The rules: SDM volume 1, 13.4. */
static u32 xsave_size(u64 features, bool compacted)
{
	u32 size = 576, a, b, c, d;
	int i;

	for (i = 2; i < 63; i++) {
		if (!(features & BIT_ULL(i)))
			continue;
		cpuid_count(0xd, i, &a, &b, &c, &d);
		if (!compacted)
			size = max(size, b + a);
		else
			size = (c & 2 ? ALIGN(size, 64) : size) + a;
	}
	return size;
}

/* answer leaf 13 */
static void xsave_leaf(struct lg_vcpu *v, u32 sub, u32 r[4])
{
	u64 mask = xcr0_mask(v);

	cpuid_count(0xd, sub, &r[0], &r[1], &r[2], &r[3]);
	if (sub < 2) {
		r[0] = sub ? r[0] & LD_1_EAX : mask;
		r[1] = xsave_size(v->xcr0, sub);
		r[2] = sub ? 0 : xsave_size(mask, false);
		r[3] = 0;
	} else if (sub > 62 || !(mask & BIT_ULL(sub))) {
		memset(r, 0, 16);
	}
}

/* add wide registers to an answer */
void lg_wide_cpuid(struct lg_vcpu *v, u32 leaf, u32 sub, u32 r[4])
{
	u32 a, b, c, d;

	if (!xcr0_mask(v))
		return;
	if (leaf == 0xd)
		return xsave_leaf(v, sub, r);
	cpuid_count(leaf, sub, &a, &b, &c, &d);
	if (leaf == 1) {
		/* OSXSAVE from the start: Linux asks before it uses XSAVE. */
		r[2] |= (c & W1_ECX) | BIT(27);
	} else if (leaf == 7 && !sub) {
		r[0] = min(a, 1u);
		r[1] |= b & W7_EBX;
		r[2] |= c & W7_ECX;
		r[3] |= d & W7_EDX;
	} else if (leaf == 7) {
		r[0] = a & W7_1_EAX;
	} else if (leaf == 0x80000001) {
		r[2] |= c & WE1_ECX;
	}
}

/* set the guest's XCR0 */
/* The rules: SDM volume 1, 13.3. */
bool lg_set_xcr0(struct lg_vcpu *v, u32 reg, u64 val)
{
	u64 wide = val & XFEATURE_MASK_AVX512;

	if (reg || val & ~xcr0_mask(v) || !(val & XFEATURE_MASK_FP) ||
	    (val & XFEATURE_MASK_YMM && !(val & XFEATURE_MASK_SSE)) ||
	    (wide && (wide != XFEATURE_MASK_AVX512 ||
		      !(val & XFEATURE_MASK_YMM))))
		return false;
	/* be wholly in the host */
	lg_to_host(v);
	v->xcr0 = val;
	return true;
}

/* exchange XCR0 */
void lg_wide_in(struct lg_vcpu *v, struct lg_host_state *h)
{
	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return;
	v->d->cr4 |= v->d->host_cr4 & X86_CR4_OSXSAVE;
	h->xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (v->xcr0 != h->xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, v->xcr0);
}

void lg_wide_out(struct lg_vcpu *v, struct lg_host_state *h)
{
	if (static_cpu_has(X86_FEATURE_XSAVE) && v->xcr0 != h->xcr0)
		xsetbv(XCR_XFEATURE_ENABLED_MASK, h->xcr0);
}
