// SPDX-License-Identifier: GPL-2.0
/* Loading and unloading, the device node, and the host's address slot. */
#include <linux/idr.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/cc_platform.h>
#include <xen/xen.h>
#include "lg.h"
#include "host.h"

/* variables of the address slot */
static DEFINE_IDA(slots);		/* GiBs of slot 256 */
static DEFINE_MUTEX(slots_lock);	/* everything below */
static unsigned int guests;
static u64 *la57_pdpt;			/* slot 256 of every mm, LA57 only */

/* flush every CPU's TLB */
static void flush_everything(void *leave_on)
{
	unsigned long pge = cr4_read_shadow() & X86_CR4_PGE;

	cr4_update_irqsoff(pge ^ X86_CR4_PGE, pge);
	if (pge || !leave_on)
		cr4_update_irqsoff(pge, pge ^ X86_CR4_PGE);
}

/* find the host's entry for slot 256 */
static u64 *host_slot(struct mm_struct *mm)
{
	u64 *top = (u64 *)mm->pgd;

	if (!pgtable_l5_enabled())
		return top + 256;
	return (u64 *)__va(__sme_clr(top[511]) & PTE_FRAME) + 256;
}

/* show a guest's slot to the host */
static int open_mm(struct lg_vm *vm)
{
	u64 *entry = host_slot(current->mm);

	if (*entry)
		return -EEXIST;
	WRITE_ONCE(*entry, __sme_set(__pa(vm->host_pdpt)) |
		   _KERNPG_TABLE_NOENC);
	return 0;
}

static int open_la57(struct lg_vm *vm)
{
	u64 *entry = host_slot(current->mm);

	if (!la57_pdpt) {
		if (*entry)
			return -EEXIST;
		la57_pdpt = (u64 *)get_zeroed_page(GFP_KERNEL);
		if (!la57_pdpt)
			return -ENOMEM;
		WRITE_ONCE(*entry, __sme_set(__pa(la57_pdpt)) |
			   _KERNPG_TABLE_NOENC);
	}
	WRITE_ONCE(la57_pdpt[vm->slot], vm->host_pdpt[vm->slot]);
	return 0;
}

int lg_slot_open(struct lg_vm *vm)
{
	int err;

	mutex_lock(&slots_lock);
	err = pgtable_l5_enabled() ? open_la57(vm) : open_mm(vm);
	if (!err)
		guests++;
	mutex_unlock(&slots_lock);
	return err;
}

/* take the slot away again */
void lg_slot_close(struct lg_vm *vm)
{
	mutex_lock(&slots_lock);
	if (pgtable_l5_enabled())
		WRITE_ONCE(la57_pdpt[vm->slot], 0);
	else
		WRITE_ONCE(*host_slot(vm->mm), 0);
	on_each_cpu(flush_everything, --guests ? NULL : vm, 1);
	mutex_unlock(&slots_lock);
}

/* open and release the device */
static int lg_open(struct inode *inode, struct file *file)
{
	struct lg_vm *vm = kvzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);

	if (!vm)
		return -ENOMEM;
	mutex_init(&vm->lock);
	spin_lock_init(&vm->event_lock);
	INIT_LIST_HEAD(&vm->tables);
	file->private_data = vm;
	return 0;
}

/* The mm may be gone but for its root: exit_mm runs before us. */
static int lg_release(struct inode *inode, struct file *file)
{
	struct lg_vm *vm = file->private_data;

	/* stop following */
	lg_follow_end(vm);
	if (vm->vcpus[0]) {
		lg_slot_close(vm);
		/* Shadow pages in use hang from the roots only. */
		lg_drop_all(vm->vcpus[0]);
		lg_vcpu_free(vm->vcpus[0]);
	}
	/* free the other vCPUs */
	lg_others_free(vm);
	lg_event_free(vm);
	lg_shadow_free(vm);
	lg_memory_free(vm);
	if (vm->slot)
		ida_free(&slots, vm->slot);
	if (vm->mm)
		mmdrop(vm->mm);
	kvfree(vm);
	return 0;
}

/* create a guest */
static int lg_create(struct lg_vm *vm, const struct lg_create __user *arg)
{
	struct lg_create c;
	int err;

	if (copy_from_user(&c, arg, sizeof(c)))
		return -EFAULT;
	if (c.api != LG_API || c.vcpus - 1 >= LG_MAX_VCPUS ||
	    c.base & ~PAGE_MASK ||
	    c.frames < LG_MIN_FRAMES || c.frames > LG_MAX_FRAMES ||
	    c.base >= TASK_SIZE_MAX || c.cr3 >= c.frames ||
	    ((c.frames + 1) << PAGE_SHIFT) > TASK_SIZE_MAX - c.base)
		return -EINVAL;
	/* refuse what cannot be undone later */
	/* The switcher loads a null LDT on the way out. */
	if (current->mm->context.ldt)
		return -EINVAL;
	if (vm->mm)
		return -EBUSY;
	/* claim the slot and the address space */
	vm->base = c.base;
	vm->frames = c.frames;
	/* follow the host's memory */
	if (vm->notifier.mm)
		return -EBUSY;
	vm->nr_vcpus = c.vcpus;
	err = lg_follow_start(vm);
	if (err)
		return err;
	err = ida_alloc_range(&slots, 1, 511, GFP_KERNEL);
	if (err < 0)
		return err;
	vm->slot = err;
	vm->mm = current->mm;
	mmgrab(vm->mm);
	return lg_memory_init(vm) ?:
		/* create the other vCPUs, and */
		lg_others_create(vm, &c) ?:
		lg_vcpu_create(vm, &c, 0);
}

/* run once for the launcher */
static long lg_do_run(struct lg_vm *vm, struct lg_run __user *arg)
{
	struct lg_vcpu *v = smp_load_acquire(&vm->vcpus[0]);
	long err;

	if (!v || current->mm != vm->mm)
		return -EPERM;
	/* find the vCPU that is meant */
	u32 id;

	if (get_user(id, &arg->vcpu))
		return -EFAULT;
	if (id >= vm->nr_vcpus)
		return -EINVAL;
	v = vm->vcpus[array_index_nospec(id, vm->nr_vcpus)];
	if (!mutex_trylock(&v->lock))
		return -EBUSY;
	/* run with a fresh answer */
	memset(&v->run, 0, sizeof(v->run));
	/* take what a device answered */
	if (v->port_read && !get_user(v->run.value, &arg->value)) {
		lg_set_rax(v->d, v->port_read, v->run.value);
		v->port_read = 0;
	}
	v->stats.runs++;
	v->run.vcpu = v->id;
	err = v->dead ? -ESRCH : lg_run(v);
	if (!err && copy_to_user(arg, &v->run, sizeof(v->run)))
		err = -EFAULT;
	mutex_unlock(&v->lock);
	return err;
}

/* answer requests */
static long lg_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct lg_vm *vm = file->private_data;
	void __user *p = (void __user *)arg;
	struct lg_notify n;
	long err;

	switch (cmd) {
	/* create, or run */
	case LG_CREATE:
		if (mutex_lock_interruptible(&vm->lock))
			return -EINTR;
		err = lg_create(vm, p);
		mutex_unlock(&vm->lock);
		return err;
	case LG_RUN:
		return lg_do_run(vm, p);
	/* raise a port, or tell where to */
	case LG_EVENT:
		if (!smp_load_acquire(&vm->vcpus[0]) || arg >= LG_NR_PORTS)
			return -EINVAL;
		lg_event_raise(vm, arg);
		return 0;
	case LG_NOTIFY:
		if (copy_from_user(&n, p, sizeof(n)))
			return -EFAULT;
		return lg_event_notify(vm, n.port, n.fd);
	case LG_IRQ:
		return lg_device_irq(vm, arg);
	/* tell of module and guest */
	case LG_INFO:
		return LG_API;
	case LG_STATS:
		/* add up what the vCPUs have counted */
		if (vm->nr_vcpus)
			return lg_add_stats(vm, p);
		return !vm->vcpus[0] || copy_to_user(p, &vm->vcpus[0]->stats,
					sizeof(struct lg_stats)) ? -EFAULT : 0;
	}
	return -ENOTTY;
}

/* describe the device */
static const struct file_operations lg_fops = {
	.owner = THIS_MODULE, .llseek = noop_llseek,
	.open = lg_open, .release = lg_release,
	.unlocked_ioctl = lg_ioctl,
};

static struct miscdevice lg_device = {
	.minor = LG_MINOR, .name = "lguest", .mode = 0660,
	.fops = &lg_fops,
};

/* load and unload */
/* say why this host cannot */
static const char *unsupported(void)
{
	if (xen_pv_domain())
		return "this kernel is itself a Xen PV guest";
	if (__read_cr4() & BIT_ULL(32))
		return "FRED event delivery is on (boot with fred=off)";
	if (cc_platform_has(CC_ATTR_GUEST_STATE_ENCRYPT))
		return "this machine is an SEV-ES/SNP guest";
	if (boot_cpu_has(X86_FEATURE_TDX_GUEST))
		return "this machine is a TDX guest";
	if (!tsc_khz)
		return "the CPU's TSC is not calibrated";
	if (!boot_cpu_has(X86_FEATURE_NX) || !boot_cpu_has(X86_FEATURE_SYSCALL))
		return "the CPU lacks NX or SYSCALL";
	return NULL;
}

static int __init lg_init(void)
{
	const char *why = unsupported();

	if (why) {
		pr_err("lguest: cannot run here: %s\n", why);
		return -ENODEV;
	}
	if (check_tsc_unstable())
		pr_warn("lguest: the host distrusts its TSC: "
			"guest clocks may step\n");
	return misc_register(&lg_device);
}

static void __exit lg_exit(void)
{
	misc_deregister(&lg_device);
	if (la57_pdpt) {
		WRITE_ONCE(*host_slot(current->mm ?: current->active_mm), 0);
		on_each_cpu(flush_everything, NULL, 1);
		free_page((unsigned long)la57_pdpt);
	}
}

module_init(lg_init);
module_exit(lg_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION(LG_VERSION);
MODULE_DESCRIPTION("lguest: run Linux in Linux without VT or SVM");
MODULE_ALIAS_MISCDEV(LG_MINOR);
MODULE_ALIAS("devname:lguest");
