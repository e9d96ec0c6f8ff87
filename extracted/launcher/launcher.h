/* SPDX-License-Identifier: GPL-2.0 */
#ifndef LAUNCHER_H
#define LAUNCHER_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lguest.h"

/* sizes and exit codes */
#define PAGE_SHIFT	12
#define PAGE_SIZE	(1UL << PAGE_SHIFT)
#define MiB		(1UL << 20)
#define ALIGN(x, a)	(((x) + (a) - 1) & ~((a) - 1))
#define PAGES(bytes)	(((bytes) + PAGE_SIZE - 1) >> PAGE_SHIFT)

enum exit_code {
	OK, BAD_USAGE, BAD_HOST, BAD_IMAGE, NO_RESOURCE, CRASHED, INTERNAL,
};

/* types of the launcher */
struct options {
	const char *kernel, *initrd, *append, *console, *size;
	uint64_t memory;
	int verbose, quiet, help, version;
	/* more fields of the options */
	char **block;
	const char *net;
	int rng;
	const char *cpus;
	uint32_t vcpus;
	char **share;			/* as they were written, */
	struct share *shares;		/* and understood */
	const char *root;
	const char *name;
	int check;
};

struct file {
	const char *path;
	uint8_t *data;
	size_t size;
};

enum note {
	NOTE_ENTRY = 1, NOTE_HYPERCALL_PAGE = 2, NOTE_VIRT_BASE = 3,
	NOTE_PADDR_OFFSET = 4, NOTE_INIT_P2M = 15, NOTE_MOD_START_PFN = 16,
	NR_NOTES,
};

struct image {
	struct file elf;
	void *handle;		/* of libelf */
	uint64_t note[NR_NOTES];
	uint32_t notes;		/* bit n: note n is there */
	uint64_t first, last;	/* physical, of the loaded segments */
};

struct domain {
	uint8_t *mem;
	uint64_t frames;
	uint64_t rip, rsp, rsi, cr3;
	struct xencons *console;
};

struct guest {
	const struct options *opt;
	struct domain dom;
	int fd;
	int sent;		/* eventfd: the guest rang the console's bell */
	int done;		/* eventfd: the vCPU has stopped */
	pthread_t vcpu;
	struct lg_run run;
	/* fields of a guest's vCPUs */
	pthread_t others[LG_MAX_VCPUS];
	uint32_t started;		/* threads that have a number */
	bool ended;			/* one of them has the last words */
};

#define TAG_BYTES	36

struct share {
	const char *dir, *tag;
	bool read_only;
	bool keep_ids;		/* the caller is itself in there, not root */
	struct share *next;
};

/* functions of the launcher */
extern bool quiet;

_Noreturn void die(int code, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void progress(const char *what, const char *path);

void options_parse(struct options *opt, int argc, char **argv);
void options_check_memory(struct options *opt);
bool parse_size(const char *s, uint64_t *bytes);

struct file file_map(const char *path, const char *what);
void file_unmap(struct file *f);
void image_load(struct image *img, const char *path);
void image_free(struct image *img);

static inline bool has_note(const struct image *img, enum note n)
{
	return img->notes >> n & 1;
}

void domain_build(struct domain *d, const struct options *opt,
		  const struct image *img);
void domain_free(struct domain *d);

static inline void *frame_at(const struct domain *d, uint64_t pfn)
{
	return d->mem + (pfn << PAGE_SHIFT);
}

#define DEVICE	"/dev/lguest"

int device_open(void);
void guest_start(struct guest *g);

void console_open(const char *spec);
void console_raw(void);
void console_restore(void);
void console_close(void);
void console_attach(struct xencons *ring);
int console_poll(struct pollfd p[3]);
bool console_work(const struct pollfd p[3]);
void console_flush(void);
void console_text(const char *text, size_t n);

void report_death(struct guest *g);

#include "device.h"

int vhost_memory(size_t size);
void share_add(struct options *opt, const char *spec);
struct share *share_make(struct options *opt, const char *dir, const char *tag);
void shares_open(struct guest *g);
bool storage_wants(const char *spec);
void storage_add(struct guest *g, const char *spec);
void storage_check(const char *path, int fd, uint64_t size);
void session_shell(const struct options *opt);
void console_lend(int sig);

void name_take(const char *name);

void symbols_open(const char *path);
bool symbols_print(uint64_t addr);
void print_backtrace(const struct guest *g);
bool guest_read(const struct domain *d, uint64_t root, uint64_t va,
		uint64_t *value);

int check_host(void);

#endif
