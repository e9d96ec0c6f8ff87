// SPDX-License-Identifier: GPL-2.0
#include <ftw.h>
#include <linux/capability.h>
#include <linux/virtio_ids.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "vhost.h"

/* understand one --share */
static void cut_words(struct share *s, char *spec)
{
	char *end;

	while ((end = strrchr(spec, ','))) {
		if (!strcmp(end, ",ro"))
			s->read_only = true;
		else if (!strncmp(end, ",tag=", 5))
			s->tag = end + 5;
		else
			return;
		*end = 0;
	}
}

void share_add(struct options *opt, const char *spec)
{
	struct share words = { 0 }, *s;
	char *dir = strdup(spec);
	struct stat st;

	cut_words(&words, dir);
	dir = realpath(dir, NULL);
	if (!dir || stat(dir, &st) < 0)
		die(BAD_USAGE, "--share %s: %m", spec);
	if (!S_ISDIR(st.st_mode) || access(dir, R_OK | X_OK))
		die(BAD_USAGE, "--share %s: this is not a directory that you "
		    "may read", spec);
	if (!words.tag)
		words.tag = dir[1] ? strrchr(dir, '/') + 1 : "root";
	s = share_make(opt, dir, words.tag);
	s->read_only = words.read_only;
}

struct share *share_make(struct options *opt, const char *dir, const char *tag)
{
	struct share *s = calloc(1, sizeof(*s)), **p = &opt->shares;

	if (!*tag || strlen(tag) >= TAG_BYTES)
		die(BAD_USAGE, "--share %s: its tag '%s' must have 1 to %d "
		    "letters: add ,tag=NAME", dir, tag, TAG_BYTES - 1);
	for (; *p; p = &(*p)->next)
		if (!strcmp((*p)->tag, tag))
			die(BAD_USAGE, "--share %s: another share has the tag "
			    "'%s': add ,tag=NAME", dir, tag);
	*s = (struct share) { .dir = dir, .tag = tag };
	return *p = s;
}

/* be root of a small world */
static bool write_line(const char *path, const char *line)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, line, strlen(line)) == strlen(line);

	close(fd);
	return ok;
}

static bool map_ids(const struct share *s, uid_t uid, gid_t gid)
{
	char uids[32], gids[32];

	snprintf(uids, sizeof(uids), "%u %u 1", s->keep_ids ? uid : 0, uid);
	snprintf(gids, sizeof(gids), "%u %u 1", s->keep_ids ? gid : 0, gid);
	return write_line("/proc/self/setgroups", "deny") &&
		write_line("/proc/self/uid_map", uids) &&
		write_line("/proc/self/gid_map", gids);
}

static bool keep_capabilities(void)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct c[2];

	if (syscall(SYS_capget, &h, c) < 0)
		return false;
	c[0].inheritable = c[0].permitted;
	c[1].inheritable = c[1].permitted;
	if (syscall(SYS_capset, &h, c) < 0)
		return false;
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
	return true;
}

asm(".pushsection .rodata\n"
    "preload_begin: .incbin \"preload.so\"\n"
    "preload_end: .popsection");
extern const char preload_begin[], preload_end[];

static bool preload(void)
{
	size_t size = preload_end - preload_begin;
	int fd = memfd_create("preload", 0);
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return write(fd, preload_begin, size) == size &&
		!setenv("LD_PRELOAD", path, 1);
}

static bool make_read_only(const char *dir);

static int enter(const void *arg)
{
	const struct share *s = arg;
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (unshare(CLONE_NEWNS | (uid ? CLONE_NEWUSER : 0)) < 0 ||
	    (uid && (!map_ids(s, uid, gid) || !preload())) ||
	    (uid && s->keep_ids && !keep_capabilities()) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    (s->read_only && !make_read_only(s->dir)) ||
	    dup2(open(s->dir, O_PATH | O_CLOEXEC), SHARED_FD) < 0)
		return errno;
	return 0;
}

/* lock the tree against writing */
static bool make_read_only(const char *dir)
{
	struct mount_attr a = { .attr_set = MOUNT_ATTR_RDONLY };

	if (dir[1] && mount(dir, dir, NULL, MS_BIND | MS_REC, NULL) < 0)
		return false;
	return !syscall(SYS_mount_setattr, AT_FDCWD, dir, AT_RECURSIVE, &a,
			sizeof(a));
}

/* make a copy instead */
static uint64_t tree_size;

static int add_size(const char *path, const struct stat *st, int flag,
		    struct FTW *walk)
{
	tree_size += st->st_size + PAGE_SIZE;
	return 0;
}

static bool make_image(const char *dir, const char *image)
{
	char size[32];
	int status;
	pid_t pid;

	tree_size = 0;
	nftw(dir, add_size, 64, FTW_PHYS);
	snprintf(size, sizeof(size), "%luk", tree_size / 4096 * 5 + 16384);
	pid = fork();
	if (!pid) {
		execl("/sbin/mke2fs", "mke2fs", "-q", "-F", "-t", "ext4", "-d",
		      dir, image, size, NULL);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && !status;
}

static bool copy_open(struct guest *g, const struct share *s, int error)
{
	static int copies;
	int fd = open("/var/tmp", O_TMPFILE | O_RDWR, 0600);
	char *image, letter = 'a' + copies++;

	for (char **s = g->opt->block; s && *s; s++)
		letter++;
	if (fd < 0 || asprintf(&image, "/proc/self/fd/%d", fd) < 0 ||
	    !make_image(s->dir, image) || asprintf(&image, "%s,ro", image) < 0)
		return false;
	block_add(g, image);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	note("--share %s is a read-only copy, made now: virtiofsd cannot have "
	     "a namespace of its own here (%s).  In the guest: mount -o ro "
	     "/dev/vd%c DIR", s->dir, strerror(error), letter);
	return true;
}


/* start virtiofsd */
static const struct {
	const char *path;
	char *argv[8];
} daemons[] = {
	{ "/usr/lib/qemu/virtiofsd",		/* Debian 12 */
	  { "virtiofsd", "-f", "--fd=3", "--rlimit-nofile=0", "-o",
	    "source=/proc/self/fd/4/.,sandbox=chroot,log_level=err" } },
	{ "/usr/libexec/virtiofsd",		/* Debian 13 */
	  { "virtiofsd", "--sandbox=chroot", "--fd=3", "--rlimit-nofile=0",
	    "--shared-dir=/proc/self/fd/4/.", "--no-announce-submounts",
	    "--log-level=error" } },
};
enum { DEBIAN_13 = 1, SANDBOX = 1 };	/* of daemons, of its argv */

static int find_daemon(void)
{
	for (int i = 0; i < 2; i++)
		if (!access(daemons[i].path, X_OK))
			return i;
	die(BAD_HOST, "sharing a directory needs the program virtiofsd: "
	    "install the package qemu-system-common (Debian 12) or "
	    "virtiofsd (Debian 13)");
}

static const struct device_ops fs = {
	.name = "share", .type = VIRTIO_ID_FS, .queues = 2,
	.features = VHOST_RING_FEATURES, .config_size = TAG_BYTES + 4,
};

static void share_open(struct guest *g, const struct share *s)
{
	struct { char tag[TAG_BYTES]; uint32_t queues; } c = { .queues = 1 };
	struct backend *b = calloc(1, sizeof(*b));
	int i = find_daemon(), error;
	char *what, *argv[8];

	if (!b || asprintf(&what, "virtiofsd for %s", s->dir) < 0)
		die(INTERNAL, "no memory for a share");
	*b = (struct backend) { .what = what, .prepare = enter, .arg = s,
		.end = SIGKILL };
	memcpy(argv, daemons[i].argv, sizeof(argv));
	argv[0] = (char *)daemons[i].path;
	if (i == DEBIAN_13 && s->keep_ids && geteuid())
		argv[SANDBOX] = "--sandbox=none";
	error = backend_start(b, argv);
	if (error) {
		/* share a copy or say why not */
		if (s->keep_ids || !copy_open(g, s, error))
			die(BAD_HOST, "%s cannot have a namespace of its own (%s): run "
			    "lguest as root, or let users have namespaces (sysctl "
			    "kernel.unprivileged_userns_clone and "
			    "user.max_user_namespaces)", what, strerror(error));
		return;
	}
	memcpy(c.tag, s->tag, strlen(s->tag));
	vhost_add(g, b, &fs, &c);
}

void shares_open(struct guest *g)
{
	for (struct share *s = g->opt->shares; s; s = s->next)
		share_open(g, s);
}
