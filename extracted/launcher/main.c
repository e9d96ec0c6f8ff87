// SPDX-License-Identifier: GPL-2.0
#include "launcher.h"
/* further headers of main */
#include "session.h"

/* survive signals */
static void clean_up_and_die(int sig)
{
	console_close();
	raise(sig);
}

static void catch_signals(void)
{
	/* tables of signals */
	static const int deadly[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT,
		SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	struct sigaction last = { .sa_handler = clean_up_and_die,
				  .sa_flags = SA_RESETHAND | SA_NODEFER };

	for (size_t i = 0; i < sizeof(deadly) / sizeof(*deadly); i++)
		sigaction(deadly[i], &last, NULL);
	/* catch further signals */
	signal(SIGTSTP, console_lend);
	signal(SIGPIPE, SIG_IGN);
	atexit(console_close);
}

/* serve a running guest */
enum { DONE, SENT, CONSOLE, NR_FDS = CONSOLE + 3 };

static void serve(struct guest *g)
{
	struct pollfd p[NR_FDS] = {
		[DONE] = { g->done, POLLIN, 0 },
		[SENT] = { g->sent, POLLIN, 0 },
	};
	eventfd_t count;

	do {
		/* wait and serve */
		int timeout = console_poll(p + CONSOLE);

		if (poll(p, NR_FDS, timeout) < 0)
			continue;
		if (p[SENT].revents)
			eventfd_read(g->sent, &count);
		if (console_work(p + CONSOLE))
			ioctl(g->fd, LG_EVENT, LG_PORT_CONSOLE);
	} while (!p[DONE].revents);
	/* collect the vCPU and its last words */
	eventfd_read(g->done, &count);
	pthread_join(g->vcpu, NULL);
	/* collect the other vCPUs */
	for (uint32_t i = 1; i < g->opt->vcpus; i++)
		pthread_join(g->others[i], NULL);
	console_flush();
	devices_reset();
}

/* boot a guest and serve it */
static void boot(struct guest *g)
{
	struct image img;

	progress("loading", g->opt->kernel);
	image_load(&img, g->opt->kernel);
	domain_build(&g->dom, g->opt, &img);
	image_free(&img);
	/* provisions for a death report */
	symbols_open(g->opt->kernel);
	progress(NULL, NULL);
	console_attach(g->dom.console);
	g->fd = device_open();
	guest_start(g);
	serve(g);
}

static bool wants_reboot(struct guest *g)
{
	if (g->run.exit != LG_EXIT_SHUTDOWN || g->run.reason != LG_REBOOT)
		return false;
	/* take everything down */
	note("the guest reboots");
	close(g->fd);
	domain_free(&g->dom);
	return true;
}

/* begin here */
int main(int argc, char **argv)
{
	struct options opt;
	struct guest g = { .opt = &opt };

	/* take words that are no options */
	if (argc > 1 && !strcmp(argv[1], "console"))
		return session_console(argv + 2);
	session_arguments(&argc, argv);
	/* look at the options */
	options_parse(&opt, argc, argv);
	quiet = opt.quiet;
	options_check_memory(&opt);
	/* claims of further options */
	pthread_attr_t small;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 256 << 10);
	pthread_setattr_default_np(&small);
	session_plan(&g, &opt);
	name_take(opt.name);
	devices_open(&g);
	close(device_open());
	catch_signals();
	/* open the console and run */
	g.sent = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	g.done = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	console_open(opt.console);
	do
		boot(&g);
	while (wants_reboot(&g));
	console_restore();
	/* give back a command's status */
	if (session_end() >= 0)
		return session_end();
	if (g.run.exit == LG_EXIT_SHUTDOWN && g.run.reason == LG_POWEROFF)
		return OK;
	report_death(&g);
	return CRASHED;
}
