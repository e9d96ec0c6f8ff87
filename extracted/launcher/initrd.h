/* SPDX-License-Identifier: GPL-2.0 */
#ifndef INITRD_H
#define INITRD_H


#include "launcher.h"

struct initrd {
	int fd;			/* of memory, */
	FILE *file;		/* while it is written */
	const char *version;	/* of the kernel */
	char *modules;		/* paths in the archive, a line each */
	unsigned int inode;
	/* where an archive is kept */
	bool keep;		/* for the next guest of this kind */
	int cache;		/* the directory, if it can be had, or -1 */
	struct timespec of[2];	/* tells what it was made of */
};

/* functions of the archive's maker */
void initrd_begin(struct initrd *rd, const char *base);
void initrd_put(struct initrd *rd, const char *name, unsigned int mode,
		const void *data, size_t size);
void initrd_put_file(struct initrd *rd, const char *name, const char *path);
void initrd_put_modules(struct initrd *rd, const char *version,
			const char *const names[]);
const char *initrd_path(struct initrd *rd);
bool image_version(const char *path, char version[64]);

#endif
