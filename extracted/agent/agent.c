// SPDX-License-Identifier: GPL-2.0
/* headers of the agent */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../launcher/agent.h"

/* end the guest */
static _Noreturn void power_off(void)
{
	kill(-1, SIGKILL);
	sync();
	reboot(RB_POWER_OFF);
	_exit(0);
}

static _Noreturn void fail(const char *what, const char *name)
{
	dprintf(2, "agent: cannot %s %s: %s\n", what, name, strerror(errno));
	power_off();
}

/* mount what every system has */
static void mount_at(const char *type, const char *source, const char *dir,
		     unsigned long flags, const char *data)
{
	mkdir(dir, 0755);
	if (mount(source, dir, type, flags, data) < 0 && errno != EBUSY)
		fail("mount on", dir);
}

static void mount_first(void)
{
	mount_at("proc", "proc", "/proc", 0, NULL);
	mount_at("sysfs", "sys", "/sys", 0, NULL);
	mount_at("devtmpfs", "dev", "/dev", 0, NULL);
}

static void mount_rest(void)
{
	mount_at("devpts", "devpts", "/dev/pts", 0,
		 "gid=5,mode=620,ptmxmode=666");
	mount_at("tmpfs", "shm", "/dev/shm", 0, "mode=1777");
	mount_at("tmpfs", "run", "/run", 0, "mode=755");
	mount_at("tmpfs", "tmp", "/tmp", 0, "mode=1777");
	symlink("/proc/self/fd", "/dev/fd");
}

/* load the modules */
static void load_modules(void)
{
	FILE *f = fopen("/modules/list", "re");
	char path[256];

	while (f && fgets(path, sizeof(path), f)) {
		int flags = strstr(path, ".ko.") ? 4 : 0, fd;

		path[strcspn(path, "\n")] = 0;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (syscall(SYS_finit_module, fd, "", flags) < 0 &&
		    errno != EEXIST)
			dprintf(2, "agent: %s: %s\n", path, strerror(errno));
		close(fd);
	}
}

/* take the root file system */
static void for_words(const char *kind, void (*use)(char *value))
{
	char line[4096] = "";
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, line, sizeof(line) - 1) < 0)
		fail("read", "/proc/cmdline");
	close(fd);
	for (char *w = strtok(line, " \n"); w; w = strtok(NULL, " \n"))
		if (!strncmp(w, kind, strlen(kind)))
			use(w + strlen(kind));
}

static void install_busybox(void)
{
	pid_t pid = fork();

	if (!pid) {
		execl("/bin/busybox", "busybox", "--install", "-s", "/bin",
		      NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static void take_root(char *type)
{
	char *source = strchr(type, ':');

	if (!source) {
		install_busybox();
		return;
	}
	*source++ = 0;
	mount_at(type, source, "/lower", MS_RDONLY, NULL);
	mount_at("tmpfs", "over", "/over", 0, NULL);
	/* lay a layer in memory over it */
	mkdir("/over/upper", 0755);
	mkdir("/over/work", 0755);
	mount_at("overlay", "root", "/root", 0,
		 "lowerdir=/lower,upperdir=/over/upper,workdir=/over/work");
	if (chdir("/root") || mount(".", "/", NULL, MS_MOVE, NULL) ||
	    chroot(".") || chdir("/"))
		fail("enter the root", source);
	mount_first();
}

static void unescape(char *s)
{
	for (char *from = s; (*s = *from++); s++)
		if (*s == '\\' && strlen(from) >= 3) {
			char digits[4] = { from[0], from[1], from[2] };

			*s = strtol(digits, NULL, 8);
			from += 3;
		}
}

static void take_mount(char *type)
{
	char *source = strchr(type, ':');
	char *dir = source ? strchr(source + 1, ':') : NULL;

	if (!dir)
		fail("understand", type);
	*source++ = *dir++ = 0;
	unescape(dir);
	for (char *s = dir; (s = strchr(s + 1, '/')); *s = '/') {
		*s = 0;
		mkdir(dir, 0755);
	}
	mount_at(type, source, dir, 0, NULL);
}

/* bring the network up */
static void take_net(char *kind)
{
	if (!strcmp(kind, "user"))
		system("exec 2>/dev/null; ip addr add 10.0.2.15/24 dev eth0;"
		       "ip link set eth0 up; ip route add default via 10.0.2.2;"
		       "echo nameserver 10.0.2.3 >/etc/resolv.conf");
}

/* wait for the port */
static int port;

static void open_port(void)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int s = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC,
		       NETLINK_KOBJECT_UEVENT);
	struct pollfd p = { s, POLLIN, 0 };
	char event[4096];

	if (s < 0 || bind(s, (void *)&a, sizeof(a)) < 0)
		fail("hear of", "new devices");
	while ((port = open("/dev/vport0p0", O_RDWR | O_CLOEXEC)) < 0) {
		if (poll(&p, 1, 30000) <= 0)
			fail("find the port of this kernel's virtio_pci and "
			     "virtio_console,", AGENT_PORT);
		recv(s, event, sizeof(event), 0);
	}
	close(s);
}

/* sessions in the guest */
static struct session {
	bool used, tty, end_of_input;
	pid_t pid;
	int status;
	int fd[3];
	uint32_t window[3], eaten;	/* eaten: not yet acknowledged */
	size_t n;			/* bytes in the buffer */
	uint8_t input[WINDOW];
} sessions[NR_SESSIONS];

static void tell(struct session *s, int type, int stream, const void *body,
		 size_t n)
{
	static _Alignas(8) uint8_t text[sizeof(struct message) + PIECE];
	size_t size = sizeof(struct message) + n;

	*(struct message *)text = (struct message) { type, stream,
						     s - sessions, n };
	memcpy(text + sizeof(struct message), body, n);
	for (size_t at = 0; at < size; ) {
		ssize_t k = write(port, text + at, size - at);

		if (k < 0 && errno != EINTR && errno != EAGAIN)
			fail("write to", AGENT_PORT);
		at += k > 0 ? k : 0;
	}
}

static void let_go(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* start a command */
static void make_pipe(struct session *s, int stream, int far[3])
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		fail("make", "a pipe");
	s->fd[stream] = p[!stream];
	far[stream] = p[!!stream];
}

static void make_terminal(struct session *s, const struct job *j, int far[3])
{
	int m = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (m < 0 || grantpt(m) < 0 || unlockpt(m) < 0)
		fail("make", "a terminal");
	far[0] = open(ptsname(m), O_RDWR | O_NOCTTY | O_CLOEXEC);
	fchown(far[0], j->uid, -1);
	ioctl(m, TIOCSWINSZ, &j->size);
	s->fd[0] = m;
	s->fd[1] = fcntl(m, F_DUPFD_CLOEXEC, 3);
	far[1] = fcntl(far[0], F_DUPFD_CLOEXEC, 3);
	s->fd[2] = -1;
	if (!j->errors_apart)
		far[2] = fcntl(far[0], F_DUPFD_CLOEXEC, 3);
}

static _Noreturn void run(const struct job *j, const int far[3])
{
	const uint32_t *groups = (void *)(j + 1);
	char *text = (char *)(groups + j->groups), *dir = text;
	char **argv = calloc(j->argc + j->envc + 2, sizeof(*argv));
	sigset_t none;

	setsid();
	for (int i = 0; i < 3; i++)
		dup2(far[i], i);
	if (j->tty)
		ioctl(0, TIOCSCTTY, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	/* find the arguments and the environment */
	for (int i = 0; i < j->argc + j->envc; i++) {
		text += strlen(text) + 1;
		argv[i + (i >= j->argc)] = text;
	}
	environ = argv + j->argc + 1;
	/* become the caller */
	program_invocation_short_name = "lguest";
	if (setgroups(j->groups, groups) || setgid(j->gid) || setuid(j->uid))
		err(125, "cannot become user %u in the guest", j->uid);
	if (chdir(dir))
		err(125, "cannot enter %s in the guest", dir);
	/* execute the command */
	execvp(argv[0], argv);
	if (errno == ENOENT)
		errx(127, "%s: not found in the guest", argv[0]);
	err(126, "%s cannot be run in the guest", argv[0]);
}

static void start(struct session *s, const struct job *j)
{
	int far[3];

	*s = (struct session) { .used = true, .tty = j->tty, .status = -1,
				.window = { WINDOW, WINDOW, WINDOW } };
	if (j->tty)
		make_terminal(s, j, far);
	for (int i = j->tty ? 2 : 0; i < 3; i++)
		if (!j->tty || j->errors_apart)
			make_pipe(s, i, far);
	s->pid = fork();
	if (s->pid < 0)
		fail("start", "a process");
	if (!s->pid)
		run(j, far);
	for (int i = 0; i < 3; i++) {
		close(far[i]);
		if (s->fd[i] >= 0)
			fcntl(s->fd[i], F_SETFL, O_NONBLOCK);
	}
}

/* move bytes in the guest */
static void feed(struct session *s)
{
	ssize_t n = s->n && s->fd[0] >= 0 ? write(s->fd[0], s->input, s->n) : 0;

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		let_go(&s->fd[0]);
	if (s->fd[0] < 0)
		n = s->n;
	if (n > 0) {
		s->n -= n;
		s->eaten += n;
		memmove(s->input, s->input + n, s->n);
	}
	if (s->eaten >= WINDOW / 4) {
		tell(s, ACK, 0, &s->eaten, sizeof(s->eaten));
		s->eaten = 0;
	}
	if (s->end_of_input && !s->n)
		let_go(&s->fd[0]);
}

static void carry(struct session *s, int stream)
{
	uint8_t text[PIECE];

	while (s->fd[stream] >= 0 && s->window[stream]) {
		size_t room = s->window[stream];
		ssize_t n = read(s->fd[stream], text,
				 room < PIECE ? room : PIECE);

		if (n < 0 && errno == EAGAIN && s->status < 0)
			return;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			let_go(&s->fd[stream]);
			return;
		}
		s->window[stream] -= n;
		tell(s, DATA, stream, text, n);
	}
}

static void work(struct session *s)
{
	uint32_t status = s->status;

	feed(s);
	carry(s, 1);
	carry(s, 2);
	if (s->status < 0 || s->fd[1] >= 0 || s->fd[2] >= 0)
		return;
	let_go(&s->fd[0]);
	s->used = false;
	tell(s, EXIT, 0, &status, sizeof(status));
}

static void reap(int children)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	read(children, &info, sizeof(info));
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < NR_SESSIONS; i++)
			if (sessions[i].used && sessions[i].pid == pid)
				sessions[i].status = WIFSIGNALED(status) ?
					128 + WTERMSIG(status) :
					WEXITSTATUS(status);
}

/* obey the launcher */
static void pass_signal(struct session *s, int sig)
{
	bool all = sig == SIGINT || sig == SIGQUIT || sig == SIGHUP;

	if (s->status < 0 && !(all && !kill(-s->pid, sig)))
		kill(s->pid, sig);
}

static void accept_input(struct session *s, const uint8_t *body, size_t n)
{
	s->end_of_input |= !n;
	if (n > WINDOW - s->n)
		n = WINDOW - s->n;
	memcpy(s->input + s->n, body, n);
	s->n += n;
}

static void hang_up(struct session *s)
{
	pass_signal(s, SIGHUP);
	for (int i = 0; i < 3; i++)
		let_go(&s->fd[i]);
	s->used = false;
	tell(s, EXIT, 0, &(uint32_t) { 128 + SIGHUP }, 4);
}

static void obey(void *arg, const struct message *m, const uint8_t *body)
{
	struct session *s = &sessions[m->session % NR_SESSIONS];
	const uint32_t *word = (void *)body;

	if (m->type == OPEN)
		start(s, (void *)body);
	else if (m->type == OFF)
		power_off();
	else if (!s->used)
		return;
	else if (m->type == DATA)
		accept_input(s, body, m->length);
	else if (m->type == ACK)
		s->window[m->stream % 3] += *word;
	else if (m->type == SIGNAL)
		pass_signal(s, *word);
	else if (m->type == CLOSE)
		hang_up(s);
	else if (m->type == SIZE)
		ioctl(s->fd[1], TIOCSWINSZ, body);
}

/* be the first process */
static void serve(int children)
{
	static struct frames frames;
	struct pollfd p[2 + 3 * NR_SESSIONS] = { { port, POLLIN, 0 },
						 { children, POLLIN, 0 } };
	uint8_t text[PIECE];

	for (;;) {
		/* say what the agent waits for */
		for (int i = 0; i < 3 * NR_SESSIONS; i++) {
			struct session *s = &sessions[i / 3];
			int stream = i % 3;
			bool want = stream ? s->window[stream] : s->n;

			p[2 + i].fd = s->used && want ? s->fd[stream] : -1;
			p[2 + i].events = stream ? POLLIN : POLLOUT;
		}
		poll(p, 2 + 3 * NR_SESSIONS, -1);
		if (p[1].revents)
			reap(children);
		if (p[0].revents) {
			ssize_t n = read(port, text, sizeof(text));

			if (n > 0)
				frames_feed(&frames, text, n, obey, NULL);
		}
		for (int i = 0; i < NR_SESSIONS; i++)
			if (sessions[i].used)
				work(&sessions[i]);
	}
}

int main(void)
{
	sigset_t set_of_signals;

	umask(022);
	mount_first();
	load_modules();
	for_words("lg.root=", take_root);
	mount_rest();
	for_words("lg.mount=", take_mount);
	system("exec 2>/dev/null; ip link set lo up");
	for_words("lg.net=", take_net);
	sethostname("lguest", 6);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set_of_signals);
	sigaddset(&set_of_signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set_of_signals, NULL);
	open_port();
	serve(signalfd(-1, &set_of_signals, SFD_CLOEXEC));
}
