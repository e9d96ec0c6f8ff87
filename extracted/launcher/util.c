// SPDX-License-Identifier: GPL-2.0
#include <err.h>

#include "launcher.h"

/* speak to the user */
bool quiet;

void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!quiet)
		vwarnx(fmt, ap);
	va_end(ap);
}

void die(int code, const char *fmt, ...)
{
	int error = errno;
	va_list ap;

	console_restore();
	errno = error;
	va_start(ap, fmt);
	vwarnx(fmt, ap);
	va_end(ap);
	exit(code);
}

/* tell of long work */
static char doing[160];

static void tell_progress(int sig)
{
	if (!quiet && write(2, doing, strlen(doing)) > 0)
		alarm(5);
}

void progress(const char *what, const char *path)
{
	struct sigaction sa = { .sa_handler = tell_progress,
				.sa_flags = SA_RESTART };

	alarm(0);
	if (!what)
		return;
	snprintf(doing, sizeof(doing), "lguest: still %s %s...\n", what, path);
	sigaction(SIGALRM, &sa, NULL);
	alarm(2);
}
