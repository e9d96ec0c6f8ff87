// SPDX-License-Identifier: GPL-2.0
#include <gelf.h>
#include <limits.h>
#include <sys/signalfd.h>

#include "initrd.h"
#include "session.h"

/* the session's state */
static struct {
	char **argv;		/* none: this guest is for no command */
	FILE *launcher;		/* where we are not it */
	int status;
	bool begun, over, tty, end_of_input, escape, verbose;
	bool host_root;		/* our directory is there, in the guest */
	uint32_t window;	/* bytes of input that may be sent */
	struct buffer out[3];
	uint32_t written[3];	/* and not acknowledged */
	int console;		/* the reading end of what hvc0 says */
	struct buffer kept;	/* of it */
} session = { .status = -1, .window = WINDOW };
static void share_root(struct options *opt, const char **modules, char **words);

static void add_mount(char **words, const struct share *s)
{
	size_t size;
	char *text;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		die(INTERNAL, "no memory for a share");
	fprintf(f, "%s lg.mount=virtiofs:%s:", *words, s->tag);
	for (const char *p = s->dir; *p; p++)
		fprintf(f, *p <= ' ' || *p == '\\' || *p == '"' ? "\\%03o" :
			"%c", (unsigned char)*p);
	fclose(f);
	*words = text;
}

/* send a message */
static void tell(int type, int stream, const void *body, size_t n)
{
	struct message m = { type, stream, 0, n };

	if (!session.launcher) {
		port_send(0, type, stream, body, n);
		return;
	}
	fwrite(&m, sizeof(m), 1, session.launcher);
	fwrite(body, 1, n, session.launcher);
	if (fflush(session.launcher))
		die(CRASHED, "the guest is gone");
}

/* carry input */
static size_t unescape(uint8_t *to, const uint8_t *from, size_t n)
{
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		if (!session.escape && from[i] == 1) {
			session.escape = true;
			continue;
		}
		if (session.escape && from[i] == 'x')
			die(CRASHED, "ended by Ctrl-A x");
		if (session.escape && from[i] != 1)
			to[used++] = 1;
		session.escape = false;
		to[used++] = from[i];
	}
	return used;
}

static void read_input(void)
{
	uint8_t keys[PIECE], text[2 * PIECE];
	size_t room = session.window / (session.tty ? 2 : 1);
	ssize_t n = read(0, keys, room < sizeof(keys) ? room : sizeof(keys));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		session.end_of_input = true;
		tell(DATA, 0, NULL, 0);
		return;
	}
	if (session.tty)
		n = unescape(text, keys, n);
	session.window -= n;
	if (n)
		tell(DATA, 0, session.tty ? text : keys, n);
}

static void input_ready(void *arg, short revents);

static void want_input(void)
{
	while (!session.end_of_input && session.window > 1) {
		if (!watch(0, POLLIN, input_ready, NULL))
			return;
		read_input();
	}
	unwatch(0);
}

static void input_ready(void *arg, short revents)
{
	read_input();
	want_input();
}

/* carry output */
static void write_output(int fd)
{
	struct buffer *b = &session.out[fd];
	ssize_t n = write(fd, b->data, b->n < PIPE_BUF ? b->n : PIPE_BUF);
	uint32_t word = SIGPIPE;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		if (errno != EPIPE)
			note("the command's output is lost: %m");
		tell(SIGNAL, 0, &word, sizeof(word));
		n = b->n;
	}
	buffer_drop(b, n);
	session.written[fd] += n;
	if (session.written[fd] < WINDOW / 4)
		return;
	tell(ACK, fd, &session.written[fd], sizeof(word));
	session.written[fd] = 0;
}

static void finish(void)
{
	if (session.status < 0 || session.over ||
	    session.out[1].n || session.out[2].n)
		return;
	session.over = true;
	unwatch(0);
	if (!session.launcher)
		tell(OFF, 0, NULL, 0);
}

static void output_ready(void *arg, short revents);

static void want_output(int fd)
{
	while (session.out[fd].n) {
		if (!watch(fd, POLLOUT, output_ready, (void *)(long)fd))
			return;
		write_output(fd);
	}
	unwatch(fd);
	finish();
}

static void output_ready(void *arg, short revents)
{
	write_output((long)arg);
	want_output((long)arg);
}

/* accept a message */
void session_take(void *arg, const struct message *m, const uint8_t *body)
{
	uint32_t word = 0;

	if (!session.begun)
		return;
	if (m->length == sizeof(word))
		memcpy(&word, body, sizeof(word));
	if (m->type == DATA && (m->stream == 1 || m->stream == 2) &&
	    m->length <= WINDOW - session.out[m->stream].n) {
		buffer_add(&session.out[m->stream], body, m->length);
		want_output(m->stream);
	} else if (m->type == ACK && word <= WINDOW - session.window) {
		session.window += word;
		want_input();
	} else if (m->type == EXIT && session.status < 0) {
		session.status = word & 255;
		finish();
	}
}

/* pass signals */
static void tell_size(void)
{
	struct winsize size;

	if (session.tty && !ioctl(1, TIOCGWINSZ, &size))
		tell(SIZE, 0, &size, sizeof(size));
}

static sigset_t passed;

static void signalled(void *arg, short revents)
{
	struct signalfd_siginfo info;
	uint32_t word;

	if (read((long)arg, &info, sizeof(info)) != sizeof(info))
		return;
	word = info.ssi_signo;
	if (!session.begun) {
		/* let the signal do its work */
		pthread_sigmask(SIG_UNBLOCK, &passed, NULL);
		raise(word);
		pthread_sigmask(SIG_BLOCK, &passed, NULL);
	} else if (word == SIGWINCH) {
		tell_size();
	} else {
		tell(SIGNAL, 0, &word, sizeof(word));
	}
}

static void watch_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT,
		SIGUSR1, SIGUSR2, SIGWINCH };
	long fd;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigaddset(&passed, numbers[i]);
	pthread_sigmask(SIG_BLOCK, &passed, NULL);
	fd = signalfd(-1, &passed, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0 || watch(fd, POLLIN, signalled, (void *)fd))
		die(NO_RESOURCE, "cannot receive signals: %m");
	signal(SIGPIPE, SIG_IGN);
}

/* begin a session */
static void add_string(struct buffer *b, const char *s)
{
	buffer_add(b, s, strlen(s) + 1);
}

static void send_job(void)
{
	gid_t groups[256];
	int n = getgroups(256, groups);
	struct job j = { .uid = getuid(), .gid = getgid(),
			 .tty = session.tty, .errors_apart = !isatty(2),
			 .groups = n > 0 ? n : 0 };
	char *dir = getcwd(NULL, 0);
	struct buffer b = { 0 };

	/* count the job's strings */
	for (char **s = session.argv; *s; s++)
		j.argc++;
	for (char **s = environ; *s; s++)
		j.envc++;
	if (session.tty)
		ioctl(1, TIOCGWINSZ, &j.size);
	buffer_add(&b, &j, sizeof(j));
	buffer_add(&b, groups, j.groups * sizeof(*groups));
	add_string(&b, session.host_root && dir ? dir : "/");
	for (char **s = session.argv; *s; s++)
		add_string(&b, *s);
	for (char **s = environ; *s; s++)
		add_string(&b, *s);
	if (b.n > BODY_MAX)
		die(BAD_USAGE, "the command and the environment have %zu "
		    "bytes, %d is the most: env -i empties the environment",
		    b.n, BODY_MAX);
	tell(OPEN, 0, b.data, b.n);
	free(b.data);
	free(dir);
}

void session_begin(void)
{
	if (session.begun)
		die(CRASHED, "the guest booted anew while its command ran");
	session.tty = isatty(0) && isatty(1);
	session.begun = true;
	if (session.tty)
		terminal_raw();
	send_job();
	want_input();
}

/* keep what the console says */
#define KEPT	8192

static void keep(void *arg, short revents)
{
	char text[PIECE];
	ssize_t n;

	while ((n = read(session.console, text, sizeof(text))) > 0) {
		if (session.verbose && write(2, text, n) == n)
			continue;
		buffer_add(&session.kept, text, n);
		if (session.kept.n > KEPT)
			buffer_drop(&session.kept, session.kept.n - KEPT);
	}
}

static const char *keep_console(void)
{
	char *spec;
	int p[2];

	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0 ||
	    watch(p[0], POLLIN, keep, NULL) ||
	    asprintf(&spec, "file=/proc/self/fd/%d", p[1]) < 0)
		die(NO_RESOURCE, "no pipe for the console: %m");
	session.console = p[0];
	return spec;
}

/* plan a guest for the command */
static bool is_static(const char *path)
{
	struct file f = file_map(path, "program");
	Elf *e = elf_memory((char *)f.data, f.size);
	bool found = e && elf_kind(e) == ELF_K_ELF;
	GElf_Phdr ph;

	for (int i = 0; found && gelf_getphdr(e, i, &ph); i++)
		found = ph.p_type != PT_INTERP;
	elf_end(e);
	file_unmap(&f);
	return found;
}

static void put_busybox(struct initrd *rd)
{
	static const char path[] = "/bin/busybox";

	elf_version(EV_CURRENT);
	if (access(path, R_OK) || !is_static(path))
		die(NO_RESOURCE, "--root none makes its root of %s, which %s: "
		    "apt install busybox-static, or give an --initrd", path,
		    access(path, R_OK) ? "is not there" : "needs libraries");
	initrd_put_file(rd, "bin/busybox", path);
	initrd_put(rd, "sbin", S_IFLNK | 0777, "bin", 3);
	initrd_put(rd, "usr", S_IFLNK | 0777, ".", 1);
	initrd_put(rd, "etc/passwd", S_IFREG | 0644,
		   "root:x:0:0::/:/bin/sh\n", 22);
}

static void session_root(struct options *opt, struct initrd *rd,
			 const char **modules, char **words)
{
	/* take another root */
	if (!opt->initrd && (!opt->root || strcmp(opt->root, "none"))) {
		rd->keep = true;
		share_root(opt, modules, words);
		return;
	}
	if (opt->root && strcmp(opt->root, "none"))
		die(BAD_USAGE, "--root %s cannot be had here: the root is "
		    "none, or the --initrd", opt->root);
	*words = "lg.root=none";
	if (!opt->initrd)
		put_busybox(rd);
}

void session_plan(struct guest *g, struct options *opt)
{
	const char *modules[32] = { "virtio_pci", "virtio_console" };
	char version[64], *text, *words;
	struct initrd rd;

	if (!session.argv)
		return;
	session.verbose = opt->verbose;
	quiet |= !opt->verbose && !isatty(2);
	initrd_begin(&rd, opt->initrd);
	session_root(opt, &rd, modules, &words);
	if (image_version(opt->kernel, version))
		initrd_put_modules(&rd, version, modules);
	opt->initrd = initrd_path(&rd);
	if (asprintf(&text, "%s %s%s", opt->append,
		     opt->verbose ? "" : "quiet ", words) < 0)
		die(INTERNAL, "no memory for the command line");
	opt->append = text;
	opt->console = keep_console();
	watch_signals();
	port_add(g);
}
static void share_root(struct options *opt, const char **modules, char **words)
{
	static const char *const needed[] = { "virtiofs", "overlay",
		"virtio_net" };
	char *dir = realpath(opt->root ?: "/", NULL), *cwd;
	struct share *s;

	if (!dir)
		die(BAD_USAGE, "--root %s: %m", opt->root);
	s = share_make(opt, dir, "lg.root");
	s->read_only = true;
	if (!opt->net)
		opt->net = "user";
	/* share the directories that may be written */
	cwd = getcwd(NULL, 0);
	if (!opt->root && cwd && cwd[1])
		share_make(opt, cwd, "lg.cwd");
	session.host_root = !opt->root;
	*words = strncmp(opt->net, "user", 4) ? "lg.root=virtiofs:lg.root" :
		"lg.root=virtiofs:lg.root lg.net=user";
	for (struct share *other = opt->shares; other; other = other->next)
		if (other != s)
			add_mount(words, other);
	/* let all shares know the caller */
	for (s = opt->shares; s; s = s->next)
		s->keep_ids = true;
	memcpy(modules + 2, needed, sizeof(needed));
}


/* end a session */
static void own_failure(void)
{
	console_restore();
	if (!session.over) {
		fflush(NULL);
		_exit(125);
	}
}

void session_arguments(int *argc, char **argv)
{
	for (int i = 1; i < *argc; i++) {
		if (strcmp(argv[i], "--"))
			continue;
		atexit(own_failure);
		session.argv = argv + i + 1;
		argv[i] = NULL;
		*argc = i;
		if (!session.argv[0])
			die(BAD_USAGE, "no command follows the --");
	}
}

int session_end(void)
{
	if (!session.argv || session.over)
		return session.argv ? session.status : -1;
	keep(NULL, 0);
	fprintf(stderr, "lguest: the guest ended before its command did.\n");
	if (session.kept.n)
		fprintf(stderr, "Its console said last:\n%.*s\n",
			(int)session.kept.n, session.kept.data);
	return -1;
}

void session_shell(const struct options *opt)
{
	static char *shell[2];

	if (session.argv || opt->kernel || opt->initrd)
		return;
	shell[0] = getenv("SHELL") ?: "/bin/sh";
	session.argv = shell;
}

/* open a second session */
static void from_launcher(void *arg, short revents)
{
	static struct frames frames;
	uint8_t text[PIECE];
	ssize_t n = recv((long)arg, text, sizeof(text), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || !frames_feed(&frames, text, n, session_take, NULL))
		die(CRASHED, "the guest has ended");
}

int session_console(char **argv)
{
	static char *shell[2] = { "sh" };
	long fd;

	atexit(own_failure);
	if (!argv[0])
		die(BAD_USAGE, "lguest console NAME [COMMAND...]: the name is "
		    "that of a running guest, or its process number");
	session.argv = argv[1] ? argv + 1 : shell;
	fd = port_connect(argv[0]);
	session.launcher = fdopen(fd, "w");
	if (!session.launcher)
		die(INTERNAL, "no memory for a session");
	watch_signals();
	session_begin();
	watch(fd, POLLIN, from_launcher, (void *)fd);
	while (!session.over)
		loop_work();
	return session.status;
}
