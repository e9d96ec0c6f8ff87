/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the launcher and the module say to each other.
 *
 * One open file of /dev/lguest is one guest.  There is no stable ABI here:
 * module and launcher come from one source and carry one number.
 */
#ifndef LGUEST_H
#define LGUEST_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* numbers both sides know */
#define LG_VERSION	"0.1"
#define LG_API		3	/* both sides must agree on it */
#define LG_MINOR	247	/* misc minor, of the range for local use */

/* Event channel ports that exist when the guest starts. */
#define LG_PORT_STORE	1	/* reserved: we have no xenstore */
#define LG_PORT_CONSOLE	2
#define LG_NR_PORTS	1024
#define LG_NR_NOTIFY	1536	/* behind the ports: bells of devices */

#define LG_MAX_VCPUS	1
#define LG_MIN_FRAMES	(16 << 8)	/* 16 MiB */
#define LG_MAX_FRAMES	(64UL << 18)	/* 64 GiB */

#undef LG_MAX_VCPUS
#define LG_MAX_VCPUS	64

/* the creation of a guest */
/*
 * LG_CREATE: give the guest its memory and its first registers.  Guest
 * frame n is the page at base + (n << 12) of the caller's address space,
 * anonymous memory or a memfd.  Frames 0 .. frames-1 are RAM; one more frame,
 * number "frames", is shared_info: the mapping is (frames + 1) << 12 long.
 * Errors: EINVAL (a bound is broken), EBUSY (called twice), EEXIST (the
 * address slot is taken), ENOSPC (so it is by 511 other guests), EFAULT (no
 * anonymous memory or memfd at base), EINTR, ENOMEM.
 */
struct lg_create {
	__u32 api;
	__u32 vcpus;
	__u64 base;		/* user address, page aligned */
	__u64 frames;		/* RAM in pages of 4 KiB */
	__u64 rip, rsp, rsi;	/* guest-virtual, vCPU 0 at its start */
	__u64 cr3;		/* guest frame number of the root table */
};

/* the registers of a guest */
struct lg_regs {
	__u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
	__u64 rax, rcx, rdx, rsi, rdi;
	__u64 trap, error;	/* vector and error code of the last exit */
	__u64 rip, cs, rflags, rsp, ss;
	__u64 cr2;
	__u64 cr3;		/* guest frame number of the current root */
	__u32 user;		/* 1: in guest user mode */
	__u32 pad;
};

/* a run and how it ends */
enum lg_exit {
	LG_EXIT_NONE,
	LG_EXIT_SHUTDOWN,	/* the guest asked; see reason */
	LG_EXIT_DEAD,		/* the hypervisor killed it; see message */
	LG_EXIT_CONSOLE,	/* text for the console; see message, length */
	/* exits for devices */
	LG_EXIT_IO,		/* a port of a device; see port, size, write */
};

/* The same numbers as SHUTDOWN_* in xen/interface/sched.h. */
enum lg_reason {
	LG_POWEROFF, LG_REBOOT, LG_SUSPEND, LG_CRASH, LG_WATCHDOG,
};

/*
 * LG_RUN: run a vCPU until it needs the launcher.  Returns 0 with the
 * structure filled in, or EINTR (a signal, or work of the kernel's own:
 * call again), EPERM (not created, or by another address space), EBUSY (it
 * runs in another thread), ESRCH (the guest is dead), EFAULT.
 */
struct lg_run {
	__u32 vcpu;		/* 0: there is one */
	__u32 exit;		/* enum lg_exit */
	__u32 reason;		/* enum lg_reason, for LG_EXIT_SHUTDOWN */
	__u32 length;		/* of message in bytes; text has no final NUL */
	struct lg_regs regs;
	char message[256];	/* why it died, or text of the guest */
	char section[64];	/* the section of the book that explains it */
	/* fields of a run for devices */
	__u16 port;		/* for LG_EXIT_IO */
	__u8 size;		/* in bytes: 1, 2 or 4 */
	__u8 write;
	__u32 value;		/* written, or to be read by the next LG_RUN */
	__u32 config;		/* what the guest has written to port cf8 */
};

/* wake-up calls, information and counts */
/* LG_NOTIFY: signal an eventfd whenever the guest sends on this port. */
struct lg_notify {
	__u32 port;
	__s32 fd;		/* -1 takes it away */
};

#define LG_CREATE	_IOW('L', 0, struct lg_create)
#define LG_RUN		_IOWR('L', 1, struct lg_run)
#define LG_EVENT	_IO('L', 2)		/* arg: raise this port */
#define LG_NOTIFY	_IOW('L', 3, struct lg_notify)
#define LG_INFO		_IO('L', 4)		/* answers LG_API */
#define LG_STATS	_IOR('L', 5, struct lg_stats)

/* LG_STATS: counts since the guest was created. */
struct lg_stats {
	__u64 exits;		/* world switches to the host */
	__u64 hypercalls;
	__u64 faults;		/* page faults taken */
	__u64 fills;		/* shadow entries written */
	__u64 irqs;		/* host interrupts that ended a run */
	__u64 events;		/* event upcalls delivered */
	__u64 emulated;		/* privileged instructions emulated */
	__u64 flushes;		/* times the whole shadow was dropped */
	__u64 shadow_pages;	/* held now */
	/* more counts */
	__u64 reasons[37];	/* exits: 32 vectors and five others */
	__u64 calls[64];	/* hypercalls by number, those within multicalls too */
	__u64 zaps;		/* pages whose shadow entries were dropped */
	__u64 ports;		/* port accesses answered in the module */
	__u64 runs;		/* LG_RUN: times the launcher was needed */
};

/* Ports of device n: 256 from here on, at 0xc000 + n * 0x100. */
#define LG_BAR(n)	(0xc000 + (n) * 0x100)
#define LG_BAR_ISR	0x38	/* one byte; a read clears it */
#define LG_BAR_NOTIFY	0x40	/* queue q at 0x40 + 2 q */
#define LG_BAR_CONFIG	0x80
#define LG_NR_DEVICES	32	/* number 0 is the host bridge */
#define LG_NR_QUEUES	16
#define LG_PIRQ(n)	(16 + (n))	/* its interrupt, for event channels */

#define LG_IRQ		_IO('L', 7)	/* arg: device | bits << 8 */

#define LG_BELL(n, q)	(LG_NR_PORTS + (n) * LG_NR_QUEUES + (q))

#endif /* LGUEST_H */
