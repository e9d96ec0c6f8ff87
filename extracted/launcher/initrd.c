// SPDX-License-Identifier: GPL-2.0
#include <asm/bootparam.h>
#include <dirent.h>
#include <libkmod.h>
#include <sys/sendfile.h>

#include "initrd.h"

asm(".pushsection .rodata\n"
    "agent_begin: .incbin \"agent\"\n"
    "agent_end: .popsection");
extern const char agent_begin[], agent_end[];

/* keep an archive for later */
static bool name_archive(struct initrd *rd, const char *version)
{
	char list[160];
	struct stat m, l;

	snprintf(list, sizeof(list), "/lib/modules/%s/modules.dep", version);
	if (stat(list, &m) || stat("/proc/self/exe", &l))
		return false;
	snprintf(rd->name, sizeof(rd->name), "%s:%lx-%lx.%lx-%lx-%lx.%lx",
		 version, m.st_ino, m.st_ctim.tv_sec, m.st_ctim.tv_nsec,
		 l.st_ino, l.st_ctim.tv_sec, l.st_ctim.tv_nsec);
	return true;
}

static int open_cache(void)
{
	char *home = geteuid() ? getenv("XDG_CACHE_HOME") : "/var/cache", *dir;

	if ((!home || *home != '/') &&
	    asprintf(&home, "%s/.cache", getenv("HOME") ?: "") < 0)
		return -1;
	if (asprintf(&dir, "%s/lguest", home) < 0)
		return -1;
	if (geteuid())
		mkdir(home, 0700);
	mkdir(dir, 0700);
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool find_kept(struct initrd *rd, const char *version)
{
	struct stat st;
	int fd;

	rd->cache = name_archive(rd, version) ? open_cache() : -1;
	fd = openat(rd->cache, rd->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
		    O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || !st.st_size ||
	    st.st_uid != geteuid() || st.st_mode & 022) {
		close(fd);
		return false;
	}
	fclose(rd->file);
	rd->file = NULL;
	rd->fd = fd;
	return true;
}

static void keep_archive(struct initrd *rd)
{
	int fd = openat(rd->cache, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	size_t size = ftell(rd->file), n = strcspn(rd->name, ":") + 1;
	DIR *dir = fdopendir(rd->cache);
	struct dirent *e;
	char file[32];

	snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
	if (sendfile(fd, rd->fd, &(off_t) { 0 }, size) == size &&
	    !fdatasync(fd)) {
		while ((e = readdir(dir)))
			if (!strncmp(e->d_name, rd->name, n))
				unlinkat(rd->cache, e->d_name, 0);
		linkat(AT_FDCWD, file, rd->cache, rd->name, AT_SYMLINK_FOLLOW);
	}
	close(fd);
	closedir(dir);
}

const char *kernel_kept(const char *path, struct stat *st)
{
	int cache = open_cache(), fd = openat(cache, basename(path), O_RDONLY |
					O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat kept;
	char file[32];

	snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
	if (!stat(path, st) && !fstat(fd, &kept) && S_ISREG(kept.st_mode) &&
	    kept.st_uid == geteuid() && !(kept.st_mode & 022) &&
	    !memcmp(&kept.st_mtim, &st->st_ctim, sizeof(st->st_ctim)))
		path = realpath(file, NULL) ?: path;
	close(fd);
	close(cache);
	return path;
}

void kernel_keep(const char *path, const struct stat *st,
		 const struct image *img)
{
	int cache = open_cache(), fd = openat(cache, ".", O_TMPFILE | O_WRONLY |
					      O_CLOEXEC, 0600);
	size_t size = img->elf.size;
	char file[32];

	snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
	if (size != st->st_size && write(fd, img->elf.data, size) == size &&
	    !futimens(fd, (struct timespec[]) { st->st_ctim, st->st_ctim }) &&
	    !fsync(fd)) {
		unlinkat(cache, basename(path), 0);
		linkat(AT_FDCWD, file, cache, basename(path),
		       AT_SYMLINK_FOLLOW);
	}
	close(fd);
	close(cache);
}


/* write files into an archive */
static void pad(FILE *f)
{
	while (ftell(f) % 4)
		fputc(0, f);
}

static void put_entry(struct initrd *rd, const char *name, unsigned int mode,
		      const void *data, size_t size)
{
	fprintf(rd->file, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x"
		"%08zx%08x%s%c", ++rd->inode, mode, 0, 0, 1, 0, size,
		0, 0, 0, 0, strlen(name) + 1, 0, name, 0);
	pad(rd->file);
	fwrite(data, 1, size, rd->file);
	pad(rd->file);
}

void initrd_put(struct initrd *rd, const char *name, unsigned int mode,
		const void *data, size_t size)
{
	char path[512];

	for (const char *s = name; (s = strchr(s, '/')); s++) {
		snprintf(path, sizeof(path), "%.*s", (int)(s - name), name);
		put_entry(rd, path, S_IFDIR | 0755, NULL, 0);
	}
	put_entry(rd, name, mode, data, size);
}

void initrd_put_file(struct initrd *rd, const char *name, const char *path)
{
	struct file f = file_map(path, "file");

	initrd_put(rd, name, S_IFREG | 0755, f.data, f.size);
	file_unmap(&f);
}

/* put a kernel's modules into it */
static void put_module(struct initrd *rd, struct kmod_module *m)
{
	const char *path = kmod_module_get_path(m);
	char name[256], *list;

	if (!path)
		return;
	snprintf(name, sizeof(name), "modules/%s\n", basename(path));
	if (strstr(rd->modules, name))
		return;
	if (asprintf(&list, "%s%s", rd->modules, name) < 0)
		die(INTERNAL, "no memory for the list of modules");
	free(rd->modules);
	rd->modules = list;
	name[strlen(name) - 1] = 0;
	initrd_put_file(rd, name, path);
}

static void put_with_dependencies(struct initrd *rd, struct kmod_module *m)
{
	struct kmod_list *list = kmod_module_get_dependencies(m), *l;

	kmod_list_foreach(l, list) {
		struct kmod_module *d = kmod_module_get_module(l);

		put_module(rd, d);
		kmod_module_unref(d);
	}
	kmod_module_unref_list(list);
	put_module(rd, m);
}

void initrd_put_modules(struct initrd *rd, const char *version,
			const char *const names[])
{
	struct kmod_list *list, *l;
	struct kmod_ctx *ctx;
	char dir[128];

	snprintf(dir, sizeof(dir), "/lib/modules/%s", version);
	/* look for one that was kept */
	if (rd->keep && find_kept(rd, version))
		return;
	ctx = kmod_new(dir, NULL);
	if (!ctx)
		die(INTERNAL, "no memory for the modules in %s", dir);
	for (; *names; names++) {
		/* put one module of that name */
		list = NULL;
		kmod_module_new_from_lookup(ctx, *names, &list);
		kmod_list_foreach(l, list) {
			struct kmod_module *m = kmod_module_get_module(l);

			put_with_dependencies(rd, m);
			kmod_module_unref(m);
		}
		kmod_module_unref_list(list);
	}
	kmod_unref(ctx);
}

/* find a kernel's version */
bool image_version(const char *path, char version[64])
{
	static const char banner[] = "Linux version ";
	struct file f = file_map(path, "kernel");
	const struct setup_header *h = (void *)(f.data + 0x1f1);
	const char *at = NULL, *end = (char *)f.data + f.size;
	char text[64] = "";

	if (f.size > 0x1f1 + sizeof(*h) && h->header == 0x53726448)
		at = (char *)f.data + 0x200 + h->kernel_version;
	else if ((at = memmem(f.data, f.size, banner, sizeof(banner) - 1)))
		at += sizeof(banner) - 1;
	if (at && end - at > 64)
		memcpy(text, at, sizeof(text) - 1);
	file_unmap(&f);
	return sscanf(text, "%63[A-Za-z0-9._+~-]", version) == 1;
}

/* begin and end an archive */
void initrd_begin(struct initrd *rd, const char *base)
{
	*rd = (struct initrd) { .modules = strdup("") };
	rd->fd = memfd_create("initrd", MFD_CLOEXEC);
	rd->file = rd->fd < 0 ? NULL : fdopen(rd->fd, "w+");
	if (!rd->file || !rd->modules)
		die(NO_RESOURCE, "cannot make an initrd in memory: %m");
	if (base) {
		struct file f = file_map(base, "initrd");

		fwrite(f.data, 1, f.size, rd->file);
		file_unmap(&f);
		pad(rd->file);
	}
	initrd_put(rd, "init", S_IFREG | 0755, agent_begin,
		   agent_end - agent_begin);
}

const char *initrd_path(struct initrd *rd)
{
	static char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", rd->fd);
	/* be content with one that was kept */
	if (!rd->file)
		return path;
	initrd_put(rd, "modules/list", S_IFREG | 0644, rd->modules,
		   strlen(rd->modules));
	put_entry(rd, "TRAILER!!!", 0, NULL, 0);
	if (fflush(rd->file) || ferror(rd->file))
		die(NO_RESOURCE, "no memory for the initrd: give the host "
		    "more, or stop something (see free -m)");
	/* keep this one */
	if (rd->name[0])
		keep_archive(rd);
	return path;
}
