// SPDX-License-Identifier: GPL-2.0
/* Where the fields of a vCPU's data page are, for switcher.S. */
#include <linux/kbuild.h>
#include "lg.h"

static void __used offsets(void)
{
	OFFSET(LG_D_TRAP, lg_data, trap);
	OFFSET(LG_D_ERROR, lg_data, error);
	OFFSET(LG_D_RIP, lg_data, rip);
	OFFSET(LG_D_REGS_END, lg_data, cr3);
	/* offsets of what the switcher loads and saves */
	OFFSET(LG_D_CR3, lg_data, cr3);
	OFFSET(LG_D_HOST_CR3, lg_data, host_cr3);
	OFFSET(LG_D_CR4, lg_data, cr4);
	OFFSET(LG_D_HOST_CR4, lg_data, host_cr4);
	OFFSET(LG_D_SCRATCH, lg_data, scratch);
	OFFSET(LG_D_FS_BASE, lg_data, fs_base);
	OFFSET(LG_D_GS_BASE, lg_data, gs_base);
	OFFSET(LG_D_DS, lg_data, ds);
	OFFSET(LG_D_ES, lg_data, es);
	OFFSET(LG_D_FS, lg_data, fs);
	OFFSET(LG_D_GS, lg_data, gs);
	OFFSET(LG_D_LDT, lg_data, ldt);
	OFFSET(LG_D_NMI, lg_data, nmi);
	OFFSET(LG_D_MCE, lg_data, mce);
	OFFSET(LG_D_DR7, lg_data, dr7);
	OFFSET(LG_D_RESUME, lg_data, resume);
	OFFSET(LG_D_NMI_RIP, lg_data, nmi_rip);
	OFFSET(LG_D_MCE_RIP, lg_data, mce_rip);
	OFFSET(LG_D_GDTR, lg_data, gdtr);
	OFFSET(LG_D_TGDTR, lg_data, tgdtr);
	OFFSET(LG_D_IDTR, lg_data, idtr);
	OFFSET(LG_D_KERNEL_ROOT, lg_data, kernel_root);
	OFFSET(LG_D_USER_ROOT, lg_data, user_root);
	OFFSET(LG_D_KEEP, lg_data, keep);
	OFFSET(LG_D_INFO, lg_data, info);
	OFFSET(LG_D_KERNEL_SP, lg_data, kernel_sp);
	OFFSET(LG_D_CURSOR, lg_data, cursor);
	OFFSET(LG_D_CALLS, lg_data, calls);
	OFFSET(LG_D_VERW, lg_data, verw);
	OFFSET(LG_D_ROAD, lg_data, road);
	OFFSET(LG_D_USER, lg_data, user);
	OFFSET(LG_D_ENTRIES, lg_data, entries);
	OFFSET(LG_D_CS, lg_data, cs);
	OFFSET(LG_D_RFLAGS, lg_data, rflags);
	OFFSET(LG_D_RSP, lg_data, rsp);
	OFFSET(LG_D_SS, lg_data, ss);
	OFFSET(LG_ENTRY_FLAGS, lg_entry, flags);
	DEFINE(LG_ENTRY_MASK, LG_MASK);
	OFFSET(LG_I_PENDING, vcpu_info, evtchn_upcall_pending);
	OFFSET(LG_I_MASK, vcpu_info, evtchn_upcall_mask);
	OFFSET(LG_D_CR2, lg_data, cr2);
	OFFSET(LG_D_IN_STEP, lg_data, in_step);
	OFFSET(LG_D_STALE, lg_data, stale);
	OFFSET(LG_I_CR2, vcpu_info, arch.cr2);
	OFFSET(LG_D_NEAR, lg_data, near);
	OFFSET(LG_D_ENTRY, lg_data, entry);
	OFFSET(LG_D_ALONE, lg_data, alone);
}
