/* SPDX-License-Identifier: GPL-2.0 */
/* What the module's files know of each other. */
#ifndef LG_H
#define LG_H

/* headers of the kernel */
#include <linux/hrtimer.h>
#include <linux/kvm_para.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/mce.h>
#include <asm/tsc.h>
#include <xen/interface/xen.h>
#include <xen/interface/callback.h>
#include <asm/xen/interface.h>
#include <linux/pagemap.h>
#include "lguest.h"
#include "switcher.h"
/* headers for all files */
#include <asm/hypervisor.h>
#include <linux/mmu_notifier.h>
#include <linux/hashtable.h>

/* sizes and bits of the module */
#define LG_SLOT_BASE	0xffff800000000000UL	/* PML4 slot 256 */
#define LG_SLOT_END	0xffff880000000000UL	/* past slot 271 */
#define LG_VM_SIZE	(1UL << 30)

#define LG_DR7_FIXED	0x400	/* bit 10 of DR7 is always 1 */
#define PTE_P		_PAGE_PRESENT
#define PTE_RW		_PAGE_RW
#define PTE_U		_PAGE_USER
#define PTE_A		_PAGE_ACCESSED
#define PTE_D		_PAGE_DIRTY
#define PTE_PS		_PAGE_PSE
#define PTE_NX		_PAGE_NX
#define PTE_FRAME	0x000ffffffffff000ULL
/* In the GiB of the machine-to-physical table, and well behind it. */
#define LG_ROAD_INFO	(LG_SLOT_BASE + (512UL << 20))
#define LG_KERNEL	BIT(9)	/* in tables: the kernel's kind */
#define LG_LINK		BIT(9)	/* of an entry of ours: to a kept table */
#define LG_TOLD		255	/* changes that a vCPU can be told of */

/* structures of the module */
#define LG_MASK	4

struct lg_entry {
	u64 address;		/* 0: none */
	u8 flags;		/* LG_MASK; bits 0-1: DPL, of a trap */
};

struct lg_port {
	u8 type;		/* EVTCHNSTAT_* */
	u8 virq, vcpu;
	struct eventfd_ctx *notify;
};

#define LG_LEAVES	3	/* of a frame, that are remembered */

/* What a vCPU knows of the guest's frames.  Its own thread changes it. */
struct lg_maps {
	u64 frames;		/* the number of the last */
	u64 *pages;		/* behind it, as an entry; 0: not known */
	u64 (*leaves)[LG_LEAVES];	/* where it was entered */
	unsigned long *followed;	/* it may have leaves */
	/* more that is known of a frame */
	unsigned long *shadowed;	/* it has kept tables */
	unsigned long *writes;		/* it may have writable leaves */
	unsigned long *is_table;	/* the guest's word for all its vCPUs */
	u64 *tables;			/* its kept leaf table, as an entry, or 0 */
};

enum lg_state {
	LG_FRESH,	/* was never initialised */
	LG_BUSY,	/* somebody does it now */
	LG_DOWN,
	LG_UP,
};

struct lg_kept {		/* a shadow table, known by what it shadows */
	struct hlist_node hash;	/* by gfn; unhashed: kept no longer */
	struct list_head loose;	/* empty: in step with the guest's table */
	u64 *table;
	u64 gfn;
	unsigned int refs;	/* links and bases that lead to it */
	u8 level;
	bool kernel;		/* below it all is the guest kernel's */
};

struct lg_vcpu;
void lg_leave(struct lg_vcpu *v);

/* the data page of a vCPU */
/* The page of a vCPU that switcher.S works on; mapped in both worlds. */
struct lg_data {
	u8 fault_stack[LG_D_REGS];
	struct_group(regs,
		u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
		u64 rax, rcx, rdx, rsi, rdi;
		u64 trap, error;
		u64 rip, cs, rflags, rsp, ss;
	);
	/* what the switcher loads and saves */
	u64 cr3, host_cr3, cr4, host_cr4;
	u64 scratch;
	u64 fs_base, gs_base, kgs_base;	/* guest's; kgs is the other mode's */
	u16 ds, es, fs, gs, ldt;
	u8 nmi, mce;			/* came while in the switcher */
	u32 unused;
	u64 dr7;
	u64 resume, nmi_rip, mce_rip;	/* where to go on in ring 0 */
	/* of the straight road (road.c) */
	u64 kernel_root, user_root;	/* for CR3 */
	u64 keep;			/* or'ed into a root that was loaded */
	u64 info;			/* vcpu_info in the kernel's root, or 0 */
	u64 kernel_sp;
	u64 cursor;			/* in a multicall's list */
	u32 calls;			/* left in it; 0: no multicall */
	u16 verw;			/* selector for VERW, or 0 */
	u8 road;			/* it may be taken */
	u8 user;			/* the guest is in user mode */
	struct lg_entry entries[LG_ROAD_ENTRIES];
	u64 cr2;			/* of a fault that came to the road */
	u8 in_step;			/* 1: no table is loose; 2: leaf tables are */
	u8 stale;			/* a TLB may have what the leaves had */
	u64 near;			/* the last frame, or 0: no windows yet */
	u64 table;			/* the frame of the programs' root */
	u64 entry;			/* in a list of entries */
	u8 alone;			/* there is no other vCPU to be told */
	/* tables and stacks of the switcher */
	struct desc_ptr gdtr __aligned(16);
	struct desc_ptr tgdtr __aligned(16);
	struct desc_ptr idtr __aligned(16);
	struct x86_hw_tss tss __aligned(16);
	u8 nmi_stack[512] __aligned(16);
	u8 mce_stack[512] __aligned(16);
	u8 debug_stack[512] __aligned(16);
};

/* a guest */
struct lg_vm {
	/* fields for memory */
	struct mutex lock;		/* creation; the rest has v->lock */
	struct mm_struct *mm;		/* the launcher's, mmgrab'ed */
	u64 base;			/* user address of frame 0 */
	u64 frames;			/* RAM; frame "frames" is shared_info */
	struct page **pages;		/* pinned so far, by guest frame */
	unsigned long *is_table;	/* frames known to be page tables */
	struct shared_info *shared;

	/* fields for following the host's memory */
	struct mmu_notifier notifier;
	wait_queue_head_t changed;
	atomic_t changing;		/* invalidations under way */
	struct shrinker *shrinker;
	u32 nr_vcpus;
	unsigned long pollers;		/* vCPUs asleep in SCHEDOP_poll */

	/* fields for the address slot and shadows */
	unsigned int slot;		/* our GiB of PML4 slot 256 */
	struct list_head tables;	/* every table page of the two worlds */
	u64 *host_pdpt;			/* slot 256 as the host sees it */
	u64 *kernel_pdpt, *user_pdpt;	/* and the guest's two modes */

	/* fields for events and time */
	spinlock_t event_lock;		/* ports, vcpu_info pointers */
	struct lg_port ports[LG_NR_NOTIFY];

	u64 tsc_start;			/* TSC of guest time 0 */

	atomic_t isr[LG_NR_DEVICES];	/* what each device asks for */
	u16 pirq_port[LG_NR_DEVICES];	/* 0: not bound; event_lock */
	u32 config;			/* what was written to port cf8 */
	struct lg_vcpu *vcpus[LG_MAX_VCPUS];	/* number 0 is set last */
};

/* a vCPU */
struct lg_vcpu {
	/* fields for the block and the thread */
	struct lg_vm *vm;
	u32 id;				/* 0: there is one */
	struct mutex lock;		/* held while it runs */
	struct lg_data *d;		/* kernel address of the data page */
	void *block;			/* its block's address in slot 256 */
	struct desc_struct *gdt, *reserved, *tgdt;
	struct desc_struct *ldt[16];
	u64 ldt_va;
	unsigned int ldt_entries;
	struct task_struct *task;	/* in LG_RUN, or NULL */
	wait_queue_head_t wait;

	struct lg_maps map;		/* what it knows of the guest's frames */
	spinlock_t recall_lock;
	u64 recall_from, recall_to;	/* frames whose leaves must go */
	bool recall;			/* there are such, or tables */
	bool shrink;			/* the host wants the tables back */
	int in_guest;			/* the CPU that has it in the guest, or -1 */
	int state;			/* enum lg_state */
	bool flush;			/* others want entries to be dropped */

	/* fields for the processor's state */
	bool user;			/* guest is in user mode */
	bool halted;
	bool dead;			/* lg_kill was here: never again */
	u64 cr2;
	u64 kernel_cr3, user_cr3;	/* guest frames of the two roots */
	u64 *kernel_root, *user_root;	/* their shadows (PML4) */
	u64 kernel_pa, user_pa;		/* what CR3 gets, flags included */
	u64 kernel_sp;
	u64 cr0, guest_cr4;
	u64 dr[8];
	struct mmuext_op requests[16];	/* or mmu_update; a list's, copied */
	struct fpu_guest fpu;
	u64 xcr0;
	DECLARE_HASHTABLE(kept, 10);
	struct list_head loose;		/* tables that the guest may write */
	u64 salt;			/* of the hash, not for the guest to know */
	u64 base[2];			/* links to user's and kernel's, or 0 */
	u64 told[2][LG_TOLD + 1];	/* by others, under recall_lock */
	u16 nr_told;			/* LG_TOLD + 1: more than can be told */
	u8 telling;			/* the half that is written to */
	bool loose_above;		/* some loose table is no leaf table */
	struct lg_host_state *held;	/* the host's, while ours are not put back */
	u32 breaths;			/* since then */
	u64 *near;			/* the table below slot 261 */

	/* fields for entry points and events */
	struct lg_entry traps[256];
	struct lg_entry callbacks[CALLBACKTYPE_syscall32 + 1];
	u64 gdt_frame;			/* ~0: none */

	struct vcpu_info *info;		/* in pinned guest memory */
	u16 virq_port[NR_VIRQS];	/* 0: not bound */
	struct hrtimer timer;
	bool timer_fired;

	struct list_head shadows;	/* free shadow pages */
	unsigned int max_shadows;
	struct lg_stats stats;
	u8 port_read;			/* bytes that an IN waits for */

	struct lg_run run;		/* how this run ends */
};

/* prototypes of the module */
/* core.c */
int lg_slot_open(struct lg_vm *vm);
void lg_slot_close(struct lg_vm *vm);

/* vcpu.c */
int lg_vcpu_create(struct lg_vm *vm, const struct lg_create *c, u32 id);
void *lg_block_page(struct lg_vcpu *v, int n, u64 flags);
void lg_vcpu_free(struct lg_vcpu *v);
int lg_run(struct lg_vcpu *v);
void lg_kick(struct lg_vcpu *v);
__printf(3, 4) void lg_kill(struct lg_vcpu *v, const char *section,
			    const char *fmt, ...);

/* memory.c: guest frames and guest-virtual addresses */
int lg_memory_init(struct lg_vm *vm);
void lg_memory_free(struct lg_vm *vm);
static inline void __user *lg_user(struct lg_vcpu *v, u64 gfn)
{
	/* be sure that the access finds its page */
	if (v->held && gfn <= v->vm->frames &&
	    !(v->map.pages[gfn] & PTE_RW))
		lg_leave(v);
	return gfn > v->vm->frames ? NULL :
		(void __user *)(v->vm->base + (gfn << PAGE_SHIFT));
}
void *lg_frame(struct lg_vm *vm, u64 gfn);
struct page *lg_page(struct lg_vm *vm, u64 gfn);
int lg_read(struct lg_vcpu *v, u64 va, void *to, size_t len);
int lg_write(struct lg_vcpu *v, u64 va, const void *from, size_t len);
static inline bool lg_ours(u64 va)
{
	return va >= LG_SLOT_BASE && va < LG_SLOT_END;
}
static inline bool lg_canonical(u64 va)
{
	return (s64)(va << 16) >> 16 == (s64)va;
}

/* shadow.c */
struct lg_walk {
	u64 gfn;		/* of the page */
	u64 leaf;		/* guest's last-level entry */
	/* more fields of a walk */
	u64 entry[4];		/* of each level */
	u64 upper;		/* RW, U, NX of the levels above it */
	u64 perm;		/* and of all levels together */
};
u64 __user *lg_slot(struct lg_vcpu *v, u64 va);
int lg_walk(struct lg_vcpu *v, u64 va, u32 access, struct lg_walk *w);
bool lg_fault(struct lg_vcpu *v, u64 va, u32 *error);
int lg_shadow_init(struct lg_vcpu *v);
void lg_shadow_free(struct lg_vm *vm);
void lg_drop_user(struct lg_vcpu *v);
void lg_drop_all(struct lg_vcpu *v);
void lg_drop_page(struct lg_vcpu *v, u64 va);
u64 *lg_table(struct lg_vm *vm);
#define LG_RO	(PTE_P | PTE_A | PTE_NX)
#define LG_RW	(LG_RO | PTE_RW | PTE_D)
int lg_map(struct lg_vm *vm, u64 *table, u64 va, struct page *page, u64 flags);

/* cpu.c: registers that host and guest share */
struct lg_host_state {
	u64 star, lstar, cstar, fmask, sysenter_cs;
	u64 fs_base, kgs_base, pebs, debugctl;
	u16 ds, es, fs, gs;
	/* more of the host's state */
	u64 xcr0;
};
void lg_cpu_in(struct lg_vcpu *v, struct lg_host_state *h);
void lg_cpu_out(struct lg_vcpu *v, struct lg_host_state *h);

/* traps.c */
void lg_handle_exit(struct lg_vcpu *v);
void lg_inject(struct lg_vcpu *v, unsigned int vector, u32 error);
void lg_deliver_events(struct lg_vcpu *v);
void lg_set_mode(struct lg_vcpu *v, bool user);
void lg_iret(struct lg_vcpu *v);

/* emulate.c */
bool lg_emulate(struct lg_vcpu *v);
void lg_set_rax(struct lg_data *d, u8 size, u32 value);
bool lg_write_msr(struct lg_vcpu *v, u32 msr, u64 val);
bool lg_forced_cpuid(struct lg_vcpu *v);

/* segments.c */
int lg_set_gdt(struct lg_vcpu *v, struct lg_vcpu *to, u64 list, u32 entries);
int lg_update_descriptor(struct lg_vcpu *v, u64 maddr, u64 desc);
int lg_set_ldt(struct lg_vcpu *v, u64 va, unsigned int entries);

/* hypercalls.c, mmucalls.c */
void lg_hypercall(struct lg_vcpu *v);
long lg_mmu_update(struct lg_vcpu *v, u64 list, u64 count, u64 done);
long lg_mmuext_op(struct lg_vcpu *v, u64 list, u64 count, u64 done);
long lg_update_va_mapping(struct lg_vcpu *v, u64 va, u64 pte, u64 flags);

/* events.c */
void lg_event_raise(struct lg_vm *vm, unsigned int port);
int lg_event_notify(struct lg_vm *vm, unsigned int port, int fd);
void lg_event_free(struct lg_vm *vm);
static inline bool lg_event_pending(const struct lg_vcpu *v)
{
	return READ_ONCE(v->info->evtchn_upcall_pending) &&
	       !READ_ONCE(v->info->evtchn_upcall_mask);
}
long lg_event_op(struct lg_vcpu *v, unsigned int op, u64 arg);

/* clock.c */
void lg_clock_init(struct lg_vcpu *v);
void lg_clock_fill(struct lg_vm *vm, struct pvclock_vcpu_time_info *t);
u64 lg_clock_now(struct lg_vm *vm);
int lg_timer_set(struct lg_vcpu *v, u64 when);
void lg_timer_stop(struct lg_vcpu *v);

/* switcher.S */
extern const char lg_switcher[];
extern const u64 lg_off_enter, lg_off_syscall64, lg_off_syscall32;
void lg_enter(void *block, void *entry);
void lg_fill_rsb(void);
void lg_raise(unsigned long vector);

static inline u64 *table_of(u64 entry)
{
	return __va(__sme_clr(entry) & PTE_FRAME);
}

/* device.c */
bool lg_device_io(struct lg_vcpu *v, u16 port, bool out, u8 size);
long lg_device_irq(struct lg_vm *vm, unsigned long arg);
long lg_pirq_op(struct lg_vcpu *v, unsigned int op, u64 arg);

/* wide.c */
void lg_wide_cpuid(struct lg_vcpu *v, u32 leaf, u32 sub, u32 r[4]);
bool lg_set_xcr0(struct lg_vcpu *v, u32 reg, u64 val);
void lg_wide_in(struct lg_vcpu *v, struct lg_host_state *h);
void lg_wide_out(struct lg_vcpu *v, struct lg_host_state *h);

/* road.c */
void lg_road_entries(struct lg_vcpu *v);
int lg_road_info(struct lg_vcpu *v, u64 gfn, u16 offset);
void lg_road_in(struct lg_vcpu *v);
void lg_road_out(struct lg_vcpu *v);

#define LG_MANY	2	/* in leaves: more than can be remembered */

/* The leaf of the guest's entry at guest address "at", if there is one. */
static inline u64 *lg_leaf_at(const struct lg_maps *m, u64 at)
{
	u64 table = m->tables[at >> PAGE_SHIFT];

	if (!at || !table)
		return NULL;
#ifdef LG_NEAR
	return (u64 *)(LG_TABLES + (at & ~7UL));
#else
	return table_of(table) + offset_in_page(at) / 8;
#endif
}

/* A leaf of the frame is at "at".  Bit 0 says that a place is in use. */
static inline void lg_note(const struct lg_maps *m, u64 gfn, u64 at)
{
	u64 *place = m->leaves[gfn], frame = m->pages[gfn] & PTE_FRAME, *leaf;
	int i;

	if (place[0] == LG_MANY)
		return;
	at |= 1;
	for (i = 0; i < LG_LEAVES && place[i] != at; i++) {
		leaf = lg_leaf_at(m, place[i]);
		if (!leaf || (*leaf & PTE_FRAME) != frame)
			break;
	}
	place[i < LG_LEAVES ? i : 0] = i < LG_LEAVES ? at : LG_MANY;
}

/* follow.c */
int lg_follow_start(struct lg_vm *vm);
void lg_follow_end(struct lg_vm *vm);
int lg_follow_maps(struct lg_vcpu *v);
void lg_follow_free(struct lg_vcpu *v);
struct page *lg_follow(struct lg_vcpu *v, u64 gfn, bool write, bool *writable);
void lg_forget(struct lg_vcpu *v);
void lg_note_leaf(struct lg_vcpu *v, u64 gfn, u64 at, u64 leaf);
void lg_call_out(struct lg_vm *vm);

#define for_each_vcpu(i, v, vm) \
	for (i = 0; i < (vm)->nr_vcpus && (v = smp_load_acquire( \
		&(vm)->vcpus[0])) && (v = (vm)->vcpus[i]); i++)

/* Others want something of it before it enters the guest. */
static inline bool lg_word(struct lg_vcpu *v)
{
	return
		/* a flush or an end is wanted, or */
		READ_ONCE(v->flush) || READ_ONCE(v->state) != LG_UP || READ_ONCE(v->dead) ||
		READ_ONCE(v->recall);
}

/* smp.c */
int lg_others_create(struct lg_vm *vm, const struct lg_create *c);
void lg_others_free(struct lg_vm *vm);
long lg_add_stats(struct lg_vm *vm, void __user *to);
long lg_life_op(struct lg_vcpu *v, struct lg_vcpu *t, u64 cmd, u64 arg);
void lg_end_others(struct lg_vcpu *v);
int lg_heed_others(struct lg_vcpu *v);
long lg_flush_op(struct lg_vcpu *v, const struct mmuext_op *op);
long lg_flush_va(struct lg_vcpu *v, u64 flags);
void lg_wake_pollers(struct lg_vm *vm);
long lg_poll(struct lg_vcpu *v, u64 arg);

/* shadow.c: what is kept */
u64 *lg_kept_leaf(struct lg_vcpu *v, bool kernel, u64 va,
		  const struct lg_walk *w);
bool lg_kept_base(struct lg_vcpu *v);
bool lg_kept_flush(struct lg_vcpu *v);
void lg_kept_page(struct lg_vcpu *v, u64 va);
void lg_forget_kept(struct lg_vcpu *v);
void lg_no_table(struct lg_vcpu *v, u64 gfn);
void lg_loosen(struct lg_vcpu *v, u64 gfn);
void lg_fill_near(struct lg_vcpu *v, u64 *leaf);
void lg_table_changed(struct lg_vcpu *v, u64 __user *slot);
void lg_strip(struct lg_vcpu *v, u64 gfn, u64 bits);
void lg_hear(struct lg_vcpu *v);

/* The leaf that belongs to the guest's entry e; "kernel" as in lg_kept. */
static inline u64 lg_leaf(const struct lg_maps *m, u64 e, bool kernel)
{
	u64 gfn = (e & PTE_FRAME) >> PAGE_SHIFT, page;

	if (!(e & PTE_P) || !(e & PTE_A) || gfn > m->frames)
		return 0;
	page = m->pages[gfn];
	if (!page || !(kernel || e & PTE_U))
		return 0;
	if (!(page & PTE_RW) || !(e & PTE_RW) || !(e & PTE_D) ||
	    test_bit(gfn, m->is_table))
		page &= ~(PTE_RW | PTE_D);
	return (page & ~PTE_NX) | (e & PTE_NX) | PTE_U;
}

/* cpu.c: exits handled with the guest's registers still in place */
bool lg_quick(struct lg_vcpu *v, struct lg_host_state *h);
static inline void lg_to_host(struct lg_vcpu *v)
{
	if (v->held)
		lg_leave(v);
}

/* For loops that offer the processor: not too long with interrupts off. */
static inline bool lg_at_ease(struct lg_vcpu *v)
{
	if (v->held && ++v->breaths > 64)
		lg_leave(v);
	return !v->held;
}

/* For loops that others can make begin anew.  False: give up. */
static inline bool lg_retry(struct lg_vcpu *v)
{
	lg_to_host(v);
	cond_resched();
	return !fatal_signal_pending(current);
}

/* road.c, and near.c, which is on the road */
int lg_road_maps(struct lg_vcpu *v);
long lg_near_write(struct lg_data *d, u64 ptr, u64 val);
long lg_near_fault(struct lg_data *d, u64 va);

#endif
