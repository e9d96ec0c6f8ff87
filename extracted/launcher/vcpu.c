// SPDX-License-Identifier: GPL-2.0
/* headers of the vCPU's thread */
#include <sys/rseq.h>
#include <sys/syscall.h>
#include "launcher.h"

/* open the device or say why not */
int device_open(void)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC), api;

	if (fd < 0 && (errno == EACCES || errno == EPERM))
		die(BAD_HOST, "no permission on " DEVICE ": run as root, or "
		    "join the group that `ls -l " DEVICE "` shows "
		    "(usermod -aG GROUP USER, then log in again)");
	if (fd < 0)
		die(BAD_HOST, "cannot open " DEVICE " (%m): the module lg is "
		    "not there, or refused this host. `make install` installs "
		    "it, `modprobe lg` loads it, `lguest --check` and `dmesg` "
		    "say what is wrong");
	/* compare the interface's number */
	api = ioctl(fd, LG_INFO);
	if (api < 0)
		die(BAD_HOST, DEVICE " does not answer as the module lg does (%m): "
		    "is it from another version?");
	if (api != LG_API)
		die(BAD_HOST, "the module lg speaks interface %d, this launcher %d: "
		    "build and install both from one source", api, LG_API);
	return fd;
}

/* explain a refused creation */
static _Noreturn void create_failed(void)
{
	switch (errno) {
	case ENODEV:
		die(BAD_HOST, "this host cannot run guests: `dmesg | grep "
		    "lg:` says why, `lguest --check` what can be done");
	case EEXIST:
		die(BAD_HOST, "the addresses that lguest needs, from "
		    "ffff800000000000, are taken on this host: is it a Xen "
		    "PV guest, or a kernel built with KASAN?");
	case ENOMEM:
		die(NO_RESOURCE, "the host has no memory left for the guest's "
		    "page tables: stop something (see free -m)");
	default:
		die(INTERNAL, "LG_CREATE: %m");
	}
}

/* run the vCPU */
static void *run_vcpu(void *arg)
{
	struct guest *g = arg;
	struct lg_run run = { 0 };
	int r;

	/* prepare the vCPU's thread */
	syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset,
		sizeof(struct rseq), RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
	/* take a number and a name */
	char name[16];

	run.vcpu = __atomic_fetch_add(&g->started, 1, __ATOMIC_RELAXED);
	snprintf(name, sizeof(name), "vcpu %u", run.vcpu);
	pthread_setname_np(pthread_self(), name);
	do {
		r = ioctl(g->fd, LG_RUN, &run);
		if (r == 0 && run.exit == LG_EXIT_CONSOLE)
			console_text(run.message, run.length);
		/* answer a device's ports */
		if (r == 0 && run.exit == LG_EXIT_IO) {
			device_io(&run);
			run.exit = LG_EXIT_NONE;
		}
	} while (r < 0 ? errno == EINTR : run.exit == LG_EXIT_NONE ||
					  run.exit == LG_EXIT_CONSOLE);
	/* leave the last words to another vCPU */
	if ((r < 0 && errno == ESRCH) ||
	    (r == 0 && __atomic_exchange_n(&g->ended, true, __ATOMIC_ACQ_REL)))
		return NULL;
	if (r < 0)
		die(INTERNAL, "LG_RUN: %m");
	g->run = run;
	eventfd_write(g->done, 1);
	return NULL;
}

/* start the guest */
void guest_start(struct guest *g)
{
	struct lg_create create = {
		.api = LG_API, .vcpus = 1,
		.base = (uintptr_t)g->dom.mem, .frames = g->dom.frames,
		.rip = g->dom.rip, .rsp = g->dom.rsp, .rsi = g->dom.rsi,
		.cr3 = g->dom.cr3,
	};
	struct lg_notify notify = { .port = LG_PORT_CONSOLE, .fd = g->sent };

	/* create it and ask for the bell */
	/* ask for more vCPUs */
	create.vcpus = g->opt->vcpus;
	g->started = g->ended = 0;
	while (ioctl(g->fd, LG_CREATE, &create) < 0)
		if (errno != EINTR)
			create_failed();
	if (ioctl(g->fd, LG_NOTIFY, &notify) < 0)
		die(INTERNAL, "LG_NOTIFY: %m");
	pthread_mutex_unlock(&devices_lock);
	devices_connect(g);
	errno = pthread_create(&g->vcpu, NULL, run_vcpu, g);
	if (errno)
		die(NO_RESOURCE, "cannot start the vCPU's thread: %m");
	/* start the other vCPUs */
	for (uint32_t i = 1; i < g->opt->vcpus; i++) {
		errno = pthread_create(&g->others[i], NULL, run_vcpu, g);
		if (errno)
			die(NO_RESOURCE, "cannot start vCPU %u of %u (%m): give fewer "
			    "--cpus, or see ulimit -u", i + 1, g->opt->vcpus);
	}
}
