// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "launcher.h"

/* speak to the user */
bool quiet;

static void say(const char *fmt, va_list ap)
{
	fprintf(stderr, "lguest: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
}

void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!quiet)
		say(fmt, ap);
	va_end(ap);
}

void die(int code, const char *fmt, ...)
{
	va_list ap;

	console_restore();
	va_start(ap, fmt);
	say(fmt, ap);
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

/* take a guest's name */
void name_lock(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1,
			 "lguest/%u/%s", getuid(), name);
	socklen_t size = offsetof(struct sockaddr_un, sun_path) + 1 + n;

	if (fd < 0 || bind(fd, (void *)&a, size) < 0)
		die(NO_RESOURCE, errno == EADDRINUSE ?
		    "a guest named %s runs already: choose another --name" :
		    "the name %s cannot be taken", name);
}
