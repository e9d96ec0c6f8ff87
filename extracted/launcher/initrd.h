/* SPDX-License-Identifier: GPL-2.0 */
#ifndef INITRD_H
#define INITRD_H


#include "launcher.h"

struct initrd {
	int fd;			/* of memory, */
	FILE *file;		/* while it is written */
	char *modules;		/* paths in the archive, a line each */
	unsigned int inode;
	/* where an archive is kept */
	bool keep;		/* for the next guest of this kind */
	int cache;		/* the directory, if it can be had */
	char name[192];		/* and the archive's name in it */
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
const char *kernel_kept(const char *path, struct stat *st);
void kernel_keep(const char *path, const struct stat *st,
		 const struct image *img);

#endif
