// SPDX-License-Identifier: GPL-2.0
#include <sys/un.h>

#include "launcher.h"

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
