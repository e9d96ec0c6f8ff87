// SPDX-License-Identifier: GPL-2.0
#include <sys/uio.h>
#include <termios.h>
/* further headers of the console */
#include <sys/un.h>

#include "launcher.h"
#include "xen.h"

/* the console's state */
static struct {
	int in, out;
	bool terminal;		/* it is our own terminal, */
	bool raw;		/* and that is in raw mode */
	bool escape;		/* the last key was Ctrl-A */
	struct termios saved;
	struct xencons *ring;
	uint32_t in_prod, out_cons;
	/* further state of the console */
	bool pty;
	const char *path;	/* of the socket */
	int listener;
} con = { .in = -1, .out = -1 };

/* switch the terminal to raw and back */
void console_restore(void)
{
	if (con.raw)
		tcsetattr(0, TCSADRAIN, &con.saved);
	con.raw = false;
}

void console_raw(void)
{
	struct termios t;

	if (!con.terminal || tcgetattr(0, &con.saved) < 0)
		return;
	t = con.saved;
	cfmakeraw(&t);
	con.raw = tcsetattr(0, TCSANOW, &t) == 0;
}

void terminal_raw(void)
{
	struct termios t;

	if (!con.raw && tcgetattr(0, &con.saved) < 0)
		return;
	t = con.saved;
	cfmakeraw(&t);
	con.raw = tcsetattr(0, TCSANOW, &t) == 0;
}

/* open each kind of console */
static void open_stdio(void)
{
	con.in = 0;
	con.out = 1;
	con.terminal = isatty(0);
	if (con.terminal)
		note("Ctrl-A x ends the guest");
	console_raw();
}

static void open_log(const char *path)
{
	con.out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (con.out < 0)
		die(NO_RESOURCE, "cannot write the console to %s: %m", path);
}

/* further ways to open a console */
static void open_pty(void)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	struct termios t;

	con.pty = true;
	if (fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0)
		die(NO_RESOURCE, "cannot make a pty for --console pty: %m");
	/* make the pty raw */
	if (!tcgetattr(fd, &t)) {
		cfmakeraw(&t);
		tcsetattr(fd, TCSANOW, &t);
	}
	close(open(ptsname(fd), O_RDWR | O_NOCTTY | O_CLOEXEC));
	con.in = con.out = fd;
	note("the console is %s", ptsname(fd));
}

static void open_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (strlen(path) >= sizeof(a.sun_path))
		die(BAD_USAGE, "--console unix=%s: a socket's path has less "
		    "than %zu bytes", path, sizeof(a.sun_path));
	strcpy(a.sun_path, path);
	/* remove a dead socket */
	if (!lstat(path, &st) && S_ISSOCK(st.st_mode) &&
	    connect(fd, (void *)&a, sizeof(a)) < 0 && errno == ECONNREFUSED)
		unlink(path);
	if (bind(fd, (void *)&a, sizeof(a)) < 0 || listen(fd, 1) < 0)
		die(NO_RESOURCE, "cannot listen on --console unix=%s: %m",
		    path);
	con.listener = fd;
	con.path = path;
}

void console_open(const char *spec)
{
	if (!strncmp(spec, "file=", 5))
		open_log(spec + 5);
	/* further kinds of console */
	else if (!strcmp(spec, "pty"))
		open_pty();
	else if (!strncmp(spec, "unix=", 5))
		open_socket(spec + 5);
	else
		open_stdio();
}

void console_close(void)
{
	console_restore();
	/* left-overs of further consoles */
	if (con.path)
		unlink(con.path);
	con.path = NULL;
}

/* look at the rings */
void console_attach(struct xencons *ring)
{
	con.ring = ring;
	con.in_prod = con.out_cons = 0;
}

static uint32_t to_print(void)
{
	uint32_t prod = __atomic_load_n(&con.ring->out_prod, __ATOMIC_ACQUIRE);

	if (prod - con.out_cons > sizeof(con.ring->out))
		con.out_cons = prod;
	return prod - con.out_cons;
}

static uint32_t room_for_input(void)
{
	uint32_t cons = __atomic_load_n(&con.ring->in_cons, __ATOMIC_ACQUIRE);
	uint32_t used = con.in_prod - cons;

	return used > sizeof(con.ring->in) ? 0 : sizeof(con.ring->in) - used;
}

/* say what the console waits for */
static bool listening(void)
{
	/* listeners to further consoles */
	struct pollfd p = { .fd = con.out };

	if (con.pty)
		return poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP);
	return con.out >= 0;
}

int console_poll(struct pollfd p[3])
{
	bool open = listening();

	/* begin with nothing to wait for */
	p[0] = (struct pollfd) { -1, POLLIN, 0 };
	p[1] = (struct pollfd) { -1, POLLIN, 0 };
	p[2] = (struct pollfd) { -1, POLLOUT, 0 };
	if (open && room_for_input() > 1)
		p[1].fd = con.in;
	if (open && to_print())
		p[2].fd = con.out;
	/* waits for further consoles */
	if (con.path && !open)
		p[0].fd = con.listener;
	if (con.pty && !open)
		return 1000;
	return -1;
}

/* print the guest's output */
static void hang_up(void)
{
	/* hang-ups of further consoles */
	if (con.path) {
		close(con.out);
		con.in = con.out = -1;
		return;
	}
	die(NO_RESOURCE, "cannot write the console's output: %m");
}

static void print(void)
{
	uint32_t n = to_print();
	uint32_t at = con.out_cons % sizeof(con.ring->out);
	ssize_t done;

	if (n > sizeof(con.ring->out) - at)
		n = sizeof(con.ring->out) - at;
	done = listening() ? write(con.out, con.ring->out + at, n) : n;
	/* account for what was written */
	if (done < 0 && errno != EAGAIN && errno != EINTR)
		hang_up();
	if (done <= 0)
		return;
	con.out_cons += done;
	__atomic_store_n(&con.ring->out_cons, con.out_cons, __ATOMIC_RELEASE);
}

/* type into the guest */
static void put(uint8_t c)
{
	con.ring->in[con.in_prod++ % sizeof(con.ring->in)] = c;
}

static void type(uint8_t c)
{
	if (con.raw && !con.escape && c == 1) {
		con.escape = true;
		return;
	}
	/* leave on Ctrl-A x */
	if (con.escape && c == 'x') {
		console_restore();
		note("ended by Ctrl-A x");
		exit(OK);
	}
	if (con.escape && c != 1)
		put(1);
	con.escape = false;
	put(c);
}

static bool read_input(void)
{
	uint8_t keys[sizeof(con.ring->in)];
	uint32_t room = room_for_input();
	ssize_t n;

	if (room < 2)
		return false;
	n = read(con.in, keys, room - 1);
	/* look for the end of input */
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	/* ends of input of further consoles */
	if (n <= 0 && con.path)
		hang_up();
	if (n <= 0 && con.pty)
		return false;
	if (n <= 0)
		con.in = -1;
	for (ssize_t i = 0; i < n; i++)
		type(keys[i]);
	__atomic_store_n(&con.ring->in_prod, con.in_prod, __ATOMIC_RELEASE);
	return n > 0;
}

/* do the console's work */
bool console_work(const struct pollfd p[3])
{
	/* clients of further consoles */
	if (p[0].fd >= 0 && p[0].revents)
		con.in = con.out = accept4(con.listener, NULL, NULL,
					   SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (p[2].fd >= 0 ? p[2].revents : !listening())
		print();
	return con.in >= 0 && p[1].fd >= 0 && p[1].revents && read_input();
}

void console_text(const char *text, size_t n)
{
	struct iovec v[] = {
		{ (void *)text, n },
		{ "\r", con.raw && n && text[n - 1] == '\n' },
	};

	if (n <= sizeof(((struct lg_run *)0)->message) && listening() &&
	    writev(con.out, v, 2) < 0)
		return;			/* it is lost */
}

void console_flush(void)
{
	struct pollfd p[3];

	while (to_print()) {
		console_poll(p);
		if (p[2].fd >= 0 && poll(p + 2, 1, 1000) <= 0)
			return;
		print();
	}
}
