// SPDX-License-Identifier: GPL-2.0
#include "launcher.h"

/* the loop's table */
pthread_mutex_t devices_lock = PTHREAD_MUTEX_INITIALIZER;
int loop_fd = -1;			/* an epoll: the fuzzer waits for it */

static struct watcher {
	void (*fn)(void *arg, short revents);
	void *arg;
} *watchers;			/* by file descriptor */
static int nr_watchers;

/* watch a file descriptor */
int watch(int fd, uint32_t events, void (*fn)(void *arg, short revents),
	  void *arg)
{
	struct epoll_event e = { .events = events, .data.fd = fd };
	bool known = fd < nr_watchers && watchers[fd].fn;

	if (loop_fd < 0)
		loop_fd = epoll_create1(EPOLL_CLOEXEC);
	/* make the table large enough */
	if (fd >= nr_watchers) {
		watchers = reallocarray(watchers, fd + 1, sizeof(*watchers));
		if (!watchers)
			die(NO_RESOURCE, "no memory for the event loop");
		memset(watchers + nr_watchers, 0,
		       (fd + 1 - nr_watchers) * sizeof(*watchers));
		nr_watchers = fd + 1;
	}
	if (epoll_ctl(loop_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e))
		return -errno;
	watchers[fd] = (struct watcher) { fn, arg };
	return 0;
}

void unwatch(int fd)
{
	if (fd < 0 || fd >= nr_watchers || !watchers[fd].fn)
		return;
	epoll_ctl(loop_fd, EPOLL_CTL_DEL, fd, NULL);
	watchers[fd].fn = NULL;
}

/* call those that wait */
void loop_work(void)
{
	struct epoll_event e;
	struct watcher w;

	if (epoll_wait(loop_fd, &e, 1, -1) != 1)
		return;
	pthread_mutex_lock(&devices_lock);
	w = watchers[e.data.fd];
	if (w.fn)
		w.fn(w.arg, e.events);
	pthread_mutex_unlock(&devices_lock);
}

void *loop(void *arg)
{
	for (;;)
		loop_work();
}
