/* SPDX-License-Identifier: GPL-2.0 */
#ifndef VHOST_H
#define VHOST_H

#include <sys/types.h>

#include "launcher.h"

#define VHOST_QUEUES	2
#define BACKEND_FD	3	/* in the child: the listening socket */
#define SHARED_FD	4	/* the directory */

/* indirect descriptors, event index, version 1 */
#define VHOST_RING_FEATURES	(1UL << 28 | 1UL << 29 | 1UL << 32)

struct backend {
	const char *what;
	int (*prepare)(const void *arg);	/* in the child; an errno */
	const void *arg;
	int end;
	int sock, status;
	pid_t pid;
	struct backend *next;
};

int backend_start(struct backend *b, char **argv);
void backend_stop(struct backend *b);
struct device *vhost_add(struct guest *g, struct backend *b,
			 const struct device_ops *like, const void *config);

#endif
