// SPDX-License-Identifier: GPL-2.0
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>

#include "vhost.h"

#define DAEMON	"/usr/bin/qemu-storage-daemon"

/* know a format by its name */
static const struct { const char *word, *driver; bool url; } formats[] = {
	{ ".qcow2", "qcow2" }, { ".vmdk", "vmdk" }, { ".vdi", "vdi" },
	{ ".vhdx", "vhdx" }, { "nbd://", "nbd", true },
	{ "http://", "http", true }, { "https://", "https", true },
};

static int find_format(const char *name, size_t n)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
		const char *w = formats[i].word;
		size_t k = strlen(w);

		if (n > k && !memcmp(name + (formats[i].url ? 0 : n - k), w, k))
			return i;
	}
	return -1;
}

static size_t name_length(const char *spec, bool *read_only)
{
	size_t n = strlen(spec);

	*read_only = n > 3 && !strcmp(spec + n - 3, ",ro");
	return *read_only ? n - 3 : n;
}

bool storage_wants(const char *spec)
{
	bool read_only;

	return find_format(spec, name_length(spec, &read_only)) >= 0;
}

/* describe an image to the daemon */
static void put_value(FILE *f, const char *key, const char *s, size_t n)
{
	fprintf(f, ",%s=", key);
	for (; n--; s++)
		fprintf(f, *s == ',' ? ",," : "%c", *s);
}

static void put_nbd(FILE *f, const char *host, size_t n)
{
	size_t end = strcspn(host, "/,"), name = strcspn(host, ":/,");

	put_value(f, "server.type=inet,server.host", host, name);
	if (name < end)
		put_value(f, "server.port", host + name + 1, end - name - 1);
	else
		put_value(f, "server.port", "10809", 5);
	if (end + 1 < n)
		put_value(f, "export", host + end + 1, n - end - 1);
}

static char *describe(const char *name, size_t n, bool read_only)
{
	int i = find_format(name, n);
	size_t size, skip = strlen(formats[i].word);
	char *text;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		die(INTERNAL, "no memory for the image's description");
	fprintf(f, "node-name=disk,driver=%s,read-only=%s,discard=unmap",
		formats[i].driver, read_only ? "on" : "off");
	if (!strcmp(formats[i].driver, "nbd"))
		put_nbd(f, name + skip, n - skip);
	else if (formats[i].url)
		put_value(f, "url", name, n);
	else
		put_value(f, "file.driver=file,file.filename", name, n);
	fclose(f);
	return text;
}

/* start the storage daemon */
static const struct device_ops disk = {
	.name = "block", .type = VIRTIO_ID_BLOCK, .queues = 1,
	.config_size = 60,
	.features = VHOST_RING_FEATURES | 1 << VIRTIO_BLK_F_SIZE_MAX |
		1 << VIRTIO_BLK_F_SEG_MAX | 1 << VIRTIO_BLK_F_RO |
		1 << VIRTIO_BLK_F_BLK_SIZE | 1 << VIRTIO_BLK_F_FLUSH |
		1 << VIRTIO_BLK_F_TOPOLOGY | 1 << VIRTIO_BLK_F_DISCARD |
		1 << VIRTIO_BLK_F_WRITE_ZEROES,
};

void storage_add(struct guest *g, const char *spec)
{
	struct backend *b = calloc(1, sizeof(*b));
	bool read_only;
	size_t n = name_length(spec, &read_only);
	char *what, *export, *argv[] = { DAEMON, "--blockdev",
		describe(spec, n, read_only), "--export", NULL, NULL };

	if (access(DAEMON, X_OK))
		die(BAD_HOST, "--block %s needs the program %s: install the "
		    "package qemu-system-common", spec, DAEMON);
	if (!b || asprintf(&what, "qemu-storage-daemon for %s", spec) < 0 ||
	    asprintf(&export, "type=vhost-user-blk,id=disk,node-name=disk,"
		     "num-queues=1,writable=%s,addr.type=fd,addr.str=%d",
		     read_only ? "off" : "on", BACKEND_FD) < 0)
		die(INTERNAL, "no memory for a disk");
	argv[4] = export;
	*b = (struct backend) { .what = what, .end = SIGTERM };
	if (backend_start(b, argv))
		die(BAD_HOST, "%s cannot be started", what);
	vhost_add(g, b, &disk, NULL);
}

void storage_check(const char *path, int fd, uint64_t size)
{
	uint32_t super[16], unit;
	uint64_t need;

	if (pread(fd, super, sizeof(super), 1024) != sizeof(super) ||
	    (super[14] & 0xffff) != 0xef53 || super[6] > 6)
		return;
	unit = 1024U << super[6];
	need = (uint64_t)super[1] * unit;
	if (need > size)
		die(BAD_IMAGE, "--block %s has %lu bytes, but its file system "
		    "has %lu: copy the image again, or `truncate -s %lu "
		    "FILE` if its end was empty", path, size, need, need);
}
