// SPDX-License-Identifier: GPL-2.0
/* Privileged instructions of a guest kernel, one at a time. */
#include <asm/tlbflush.h>
#include "lg.h"

/* what a guest may know of its processor */
#define XEN_LEAF	0x40000000

/* What a leaf may show: 1 bits pass.  Named in the book's table. */
#define L1_ECX		0x42d82203
#define L1_EDX		0x0788c3f5
#define L7_EBX		0x21cc0309
#define L7_ECX		0x18000100
#define L7_EDX		0x00004410
#define E1_ECX		0x002001e1
#define E1_EDX		0xe2500800
#define E8_EBX		0x00000005

/* answer the leaves of a hypervisor */
static void cpuid_xen(u32 leaf, u32 r[4])
{
	memset(r, 0, 16);
	if (leaf == XEN_LEAF) {
		r[0] = XEN_LEAF + 2;
		memcpy(&r[1], "XenVMMXenVMM", 12);
	} else if (leaf == XEN_LEAF + 1) {
		r[0] = 4 << 16 | 17;
	}
}

/* answer cpuid */
static void guest_cpuid(struct lg_vcpu *v, u32 leaf, u32 sub, u32 r[4])
{
	u32 top = leaf >= 0x80000000 ? 0x80000008 : 0xd;

	cpuid_count(leaf & 0x80000000, 0, &r[0], &r[1], &r[2], &r[3]);
	top = min(top, r[0]);
	if (leaf >> 28 == 4) {
		cpuid_xen(leaf, r);
		return;
	}
	if (leaf > top) {
		memset(r, 0, 16);
		return;
	}
	cpuid_count(leaf, sub, &r[0], &r[1], &r[2], &r[3]);
	switch (leaf) {
	/* mask the standard leaves */
	case 0:
	case 0x80000000:
		r[0] = top;
		break;
	case 1:
		r[1] = (r[1] & 0xff00) | 1 << 16;
		r[2] &= L1_ECX;
		r[2] |= BIT(31);	/* a hypervisor is present */
		r[3] &= L1_EDX;
		break;
	/* mask leaves 2 to 13 */
	case 4:
		r[0] &= 0x3fff;
		break;
	case 7:
		r[0] = 0;
		r[1] &= sub ? 0 : L7_EBX;
		if (!(cr4_read_shadow() & X86_CR4_FSGSBASE))
			r[1] &= ~BIT(0);
		r[2] &= sub ? 0 : L7_ECX;
		r[3] &= sub ? 0 : L7_EDX;
		break;
	case 2:
	case 0x80000002 ... 0x80000006:
		break;
	/* mask the extended leaves */
	case 0x80000001:
		r[2] &= E1_ECX;
		r[3] &= E1_EDX | (L1_EDX & 0x0183f3ff);
		break;
	case 0x80000008:
		r[0] = (r[0] & 0xff) | 48 << 8;
		r[1] &= E8_EBX;
		r[2] = r[3] = 0;
		break;
	default:
		memset(r, 0, 16);
	}
	/* show the wide registers */
	lg_wide_cpuid(v, leaf, sub, r);
}

/* handle a forced cpuid */
bool lg_forced_cpuid(struct lg_vcpu *v)
{
	static const u8 forced[7] = { 0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2 };
	struct lg_data *d = v->d;
	u8 code[7];
	u32 r[4];

	if (lg_read(v, d->rip, code, 7) || memcmp(code, forced, 7))
		return false;
	guest_cpuid(v, d->rax, d->rcx, r);
	d->rax = r[0];
	d->rbx = r[1];
	d->rcx = r[2];
	d->rdx = r[3];
	d->rip += 7;
	v->stats.emulated++;
	return true;
}

/* find the place of a base */
static u64 *base_of(struct lg_vcpu *v, u32 msr)
{
	return msr == MSR_FS_BASE ? &v->d->fs_base :
	       msr == MSR_GS_BASE ? &v->d->gs_base : &v->d->kgs_base;
}

/* read a model-specific register */
static bool read_msr(struct lg_vcpu *v, u32 msr, u64 *val)
{
	switch (msr) {
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
		*val = *base_of(v, msr);
		return true;
	case MSR_EFER:
		*val = EFER_SCE | EFER_LME | EFER_LMA | EFER_NX;
		return true;
	case MSR_IA32_APICBASE:
		*val = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_BSP |
		       MSR_IA32_APICBASE_ENABLE;
		return true;
	/* answer what stands for something absent */
	case MSR_IA32_TSC:
		*val = rdtsc();
		return true;
	case MSR_IA32_PLATFORM_ID:
	case MSR_IA32_MCG_CAP:		/* no banks, nothing happened */
	case MSR_IA32_MCG_STATUS:
		*val = 0;
		return true;
	case MSR_IA32_UCODE_REV:
		return !rdmsrl_safe(msr, val);
	}
	return false;
}

/* write a model-specific register */
bool lg_write_msr(struct lg_vcpu *v, u32 msr, u64 val)
{
	switch (msr) {
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_KERNEL_GS_BASE:
		if (!lg_canonical(val))
			return false;
		*base_of(v, msr) = val;
		return true;
	case MSR_EFER:
	case MSR_IA32_UCODE_REV:
	case MSR_IA32_MCG_STATUS:
		return true;
	}
	return false;
}

/* find a general register */
static u64 *gpr(struct lg_data *d, unsigned int n)
{
	u64 *const map[16] = {
		&d->rax, &d->rcx, &d->rdx, &d->rbx, &d->rsp, &d->rbp, &d->rsi,
		&d->rdi, &d->r8, &d->r9, &d->r10, &d->r11, &d->r12, &d->r13,
		&d->r14, &d->r15,
	};

	return map[n & 15];
}

/* move from and to control registers */
static bool mov_from_cr(struct lg_vcpu *v, unsigned int cr, u64 *reg)
{
	const u64 values[] = {
		v->cr0, 0, READ_ONCE(v->info->arch.cr2),
		v->kernel_cr3 << PAGE_SHIFT, v->guest_cr4,
	};

	if (cr == 1 || cr >= ARRAY_SIZE(values))
		return false;
	*reg = values[cr];
	return true;
}

/* move to a control register */
static bool mov_to_cr(struct lg_vcpu *v, unsigned int cr, u64 val)
{
	switch (cr) {
	case 0:
		v->cr0 = (v->cr0 & ~X86_CR0_TS) | (val & X86_CR0_TS);
		return true;
	case 2:
		WRITE_ONCE(v->info->arch.cr2, val);
		return true;
	case 3:
		v->kernel_cr3 = (val & PTE_FRAME) >> PAGE_SHIFT;
		lg_drop_all(v);
		return true;
	case 4:
		v->guest_cr4 = val;
		return true;
	}
	return false;
}

/* pretend that no device is there */
void lg_set_rax(struct lg_data *d, u8 size, u32 value)
{
	u64 keep = size == 4 ? 0 : ~0ULL << (8 * size);

	d->rax = (d->rax & keep) | (value & ~keep);
}

static void port_io(struct lg_vcpu *v, u8 op, u8 imm, bool small)
{
	struct lg_data *d = v->d;
	u16 port = op & 8 ? d->rdx : imm;
	u8 size = !(op & 1) ? 1 : small ? 2 : 4;

	/* leave a device's port to its device */
	if (lg_device_io(v, port, op & 2, size))
		return;
	if (!(op & 2))
		lg_set_rax(d, size, port == 0x42 ? 0 : ~0U);
}

/* stand in for a two-byte instruction */
static bool two_byte(struct lg_vcpu *v, const u8 *code, u8 rex, int *len)
{
	struct lg_data *d = v->d;
	u64 *reg = gpr(d, (code[1] & 7) | (rex & 1) << 3);
	u8 cr = ((code[1] >> 3) & 7) | (rex & 4) << 1;
	u64 val = (u32)d->rax | d->rdx << 32;

	*len = (code[0] & 0xf0) == 0x20 ? 2 : 1;
	switch (code[0]) {
	/* stand in for clts and the like */
	case 0x06:			/* clts */
		v->cr0 &= ~X86_CR0_TS;
		return true;
	case 0x08:			/* invd, wbinvd: all is coherent here */
	case 0x09:
		return true;
	/* stand in for xsetbv */
	case 0x01:
		*len = 2;
		return code[1] == 0xd1 && lg_set_xcr0(v, d->rcx, val);
	/* stand in for control registers */
	case 0x20:
		return mov_from_cr(v, cr, reg);
	case 0x22:
		return mov_to_cr(v, cr, *reg);
	/* stand in for model-specific registers */
	case 0x30:
		return lg_write_msr(v, d->rcx, val);
	case 0x32:
		if (!read_msr(v, d->rcx, &val))
			return false;
		d->rax = (u32)val;
		d->rdx = val >> 32;
		return true;
	}
	return false;
}

/* stand in for an instruction */
bool lg_emulate(struct lg_vcpu *v)
{
	struct lg_data *d = v->d;
	u8 code[16] = {}, rex = 0;
	bool small = false;
	int i = 0, len = 1;

	lg_read(v, d->rip, code, 15);	/* zeros from where it fails */
	while (i < 4 && (code[i] == 0x66 || code[i] == 0xf2 || code[i] == 0xf3))
		small |= code[i++] == 0x66;
	if ((code[i] & 0xf0) == 0x40)
		rex = code[i++];
	/* decode and do it */
	switch (code[i]) {
	case 0xe4 ... 0xe7:
		len = 2;
		fallthrough;
	case 0xec ... 0xef:
		port_io(v, code[i], code[i + 1], small);
		break;
	/* pass over cli and sti */
	case 0xfa:		/* cli, sti: the mask is vcpu_info's; and */
	case 0xfb:		/* this_cpu_cmpxchg16b_emu brackets with them */
		break;
	case 0x0f:
		if (!two_byte(v, code + i + 1, rex, &len))
			return false;
		len++;
		break;
	default:
		return false;
	}
	d->rip += i + len;
	v->stats.emulated++;
	return true;
}
