// SPDX-License-Identifier: GPL-2.0
#include <popt.h>
#include <sys/utsname.h>
/* further headers of the options */


#include "launcher.h"

/* judge the options' values */
bool parse_size(const char *s, uint64_t *bytes)
{
	static const char units[] = "KkMmGgTt";
	const char *unit;
	char *end;

	errno = 0;
	*bytes = strtoull(s, &end, 10);
	if (*s < '0' || *s > '9' || errno || !*end || end[1])
		return false;
	unit = strchr(units, *end);
	/* apply the unit */
	if (!unit || *bytes > UINT64_MAX >> 10 * ((unit - units) / 2 + 1))
		return false;
	*bytes <<= 10 * ((unit - units) / 2 + 1);
	return true;
}

static bool valid_console(const char *s)
{
	/* words for further consoles */
	if (!strcmp(s, "pty") || (!strncmp(s, "unix=", 5) && s[5]))
		return true;
	return !strcmp(s, "stdio") || (!strncmp(s, "file=", 5) && s[5]);
}

/* judges of further options */
static bool valid_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz"
			  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n && n <= 64 && !s[n] && *s != '.' && *s != '-';
}

static uint64_t memory_available(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %lu kB", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib << 10;
}

/* add words to the guest's command line */
static bool has_word(const char *text, const char *name)
{
	for (const char *s = text; (s = strstr(s, name)); s++)
		if ((s == text || s[-1] == ' ') && s[strlen(name)] == '=')
			return true;
	return false;
}

static void add_word(struct options *opt, const char *name, const char *value)
{
	const char *old = opt->append;
	char *text;

	if (has_word(old, name))
		return;
	if (asprintf(&text, "%s%s%s=%s", old, *old ? " " : "", name,
		     value) < 0)
		die(INTERNAL, "no memory for the command line");
	opt->append = text;
}

/* makers of further words */
static void describe_terminal(struct options *opt)
{
	const char *term = getenv("TERM");
	struct winsize size;
	char number[8];

	if (strcmp(opt->console, "stdio") || !isatty(0) ||
	    ioctl(0, TIOCGWINSZ, &size) < 0)
		return;
	if (term && *term && !strpbrk(term, " \"\t"))
		add_word(opt, "TERM", term);
	if (!size.ws_row || !size.ws_col)
		return;
	/* tell the window's size */
	snprintf(number, sizeof(number), "%u", size.ws_row);
	add_word(opt, "LINES", number);
	snprintf(number, sizeof(number), "%u", size.ws_col);
	add_word(opt, "COLUMNS", number);
}

/* print the equivalent command line */
static void print_quoted(const char *name, const char *s)
{
	fprintf(stderr, " --%s '", name);
	for (; *s; s++)
		if (*s == '\'')
			fputs("'\\''", stderr);
		else
			fputc(*s, stderr);
	fputc('\'', stderr);
}

static void print(const struct poptOption *o)
{
	fputs("lguest", stderr);
	for (; o->longName; o++) {
		char *one[2] = { NULL }, **s = one;

		if (o->argInfo == POPT_ARG_STRING)
			*s = *(char **)o->arg;
		else if (o->argInfo == POPT_ARG_ARGV)
			s = *(char ***)o->arg;
		else if (*(int *)o->arg)
			fprintf(stderr, " --%s", o->longName);
		while (s && *s)
			print_quoted(o->longName, *s++);
	}
	fputc('\n', stderr);
}

/* parse the options */
void options_parse(struct options *opt, int argc, char **argv)
{
	struct poptOption rows[] = {
		/* rows of options */
		{ "kernel", 'k', POPT_ARG_STRING, &opt->kernel, 0,
		  "bzImage or vmlinux with a Xen PV entry (default: /boot/vmlinuz of the "
		  "running kernel)", "FILE" },
		{ "initrd", 'i', POPT_ARG_STRING, &opt->initrd, 0, "initial RAM disk", "FILE" },
		{ "append", 'a', POPT_ARG_STRING, &opt->append, 0,
		  "more words for the guest kernel's command line", "TEXT" },
		{ "memory", 'm', POPT_ARG_STRING, &opt->size, 0,
		  "the guest's memory, such as 256M or 2G (default 256M)", "SIZE" },
		{ "console", 0, POPT_ARG_STRING, &opt->console, 0,
		  "stdio (the default) or file=FILE"
		  /* help on further consoles */
		  " or pty or unix=SOCKET"
		  , "WHERE" },
		/* rows of further options */
		{ "block", 'd', POPT_ARG_ARGV, &opt->block, 0,
		  "a disk: FILE[,ro]"
		  /* help on further words of a disk */
		  "[,discard=off]"
		  "; may be repeated", "FILE" },
		{ "net", 'n', POPT_ARG_STRING, &opt->net, 0, "a network: "
		  "user[,forward=tcp:127.0.0.1:2222-22]..., tap=NAME or none (default none)",
		  "CABLE" },
		{ "rng", 0, POPT_ARG_NONE, &opt->rng, 0,
		  "random numbers from the host, for the guest" },
		{ "cpus", 'c', POPT_ARG_STRING, &opt->cpus, 0,
		  "processors of the guest, 1 to 64 (default 1)", "NUMBER" },
		{ "share", 's', POPT_ARG_ARGV, &opt->share, 0,
		  "a directory: DIR[,tag=TAG][,ro]; may be repeated", "DIR" },
		{ "root", 0, POPT_ARG_STRING, &opt->root, 0,
		  "a command's root; none: busybox, and nothing of the host's"
		  /* help on further roots */
		  "; or a directory: read-only, under a layer in memory"
		  , "ROOT" },
		{ "name", 0, POPT_ARG_STRING, &opt->name, 0,
		  "name the guest; no two running guests share one", "NAME" },
		{ "check", 0, POPT_ARG_NONE, &opt->check, 0,
		  "say what this machine offers, and what is missing" },
		{ "verbose", 'v', POPT_ARG_NONE, &opt->verbose, 0,
		  "print the whole equivalent command line" },
		{ "quiet", 'q', POPT_ARG_NONE, &opt->quiet, 0, "print nothing but errors" },
		{ "help", 'h', POPT_ARG_NONE, &opt->help, 0, "print this" },
		{ "version", 'V', POPT_ARG_NONE, &opt->version, 0, "print the version" },
		POPT_TABLEEND
	};
	poptContext p = poptGetContext(NULL, argc, (void *)argv, rows, 0);
	int err;

	*opt = (struct options) {
		.append = "", .console = "stdio", .size = "256M",
	};
	err = poptGetNextOpt(p);
	if (err < -1)
		die(BAD_USAGE, "%s: %s: lguest --help lists the options",
		    poptBadOption(p, 0), poptStrerror(err));
	/* answer at once, where that was asked */
	if (opt->help) {
		/* say what may follow the options */
		poptSetOtherOptionHelp(p, "[OPTION...] [-- COMMAND [ARGUMENT]...]");
		poptPrintHelp(p, stdout, 0);
		puts("On the terminal, Ctrl-A x ends the guest and Ctrl-A Ctrl-A sends "
		     "a Ctrl-A.\nExit status: 0 powered off, 1 usage, 2 host cannot, "
		     "3 bad kernel,\n4 resource, 5 guest crashed, 6 internal error.");
		exit(OK);
	}
	if (opt->version) {
		puts("lguest " LG_VERSION);
		exit(OK);
	}
	/* answers to further options */
	if (opt->check)
		exit(check_host());
	/* check the options' values */
	if (poptPeekArg(p))
		die(BAD_USAGE, "'%s' is not an option: lguest --help lists them",
		    poptGetArg(p));
	if (!parse_size(opt->size, &opt->memory))
		die(BAD_USAGE, "--memory %s is not a size: write a number and a "
		    "unit, such as 256M or 2G", opt->size);
	if (!valid_console(opt->console))
		die(BAD_USAGE, "--console %s is no kind of console: lguest --help "
		    "lists them", opt->console);
	/* checks of further options */
	add_word(opt, "nr_cpus", opt->cpus ?: "1");
	add_word(opt, "pci", "noearly");
	char *rest = "";

	opt->vcpus = opt->cpus ? strtoul(opt->cpus, &rest, 10) : 1;
	if (*rest || opt->vcpus - 1 >= LG_MAX_VCPUS)
		die(BAD_USAGE, "--cpus %s: a guest has 1 to %d processors", opt->cpus,
		    LG_MAX_VCPUS);
	for (char **s = opt->share; s && *s; s++)
		share_add(opt, *s);
	if (opt->name && !valid_name(opt->name))
		die(BAD_USAGE, "--name %s: a name has 1 to 64 letters, digits, '_', "
		    "'.' and '-', and does not begin with the last two", opt->name);
	session_shell(opt);
	/* fill in the defaults */
	if (!opt->kernel) {
		static char path[128];
		struct utsname u;

		uname(&u);
		snprintf(path, sizeof(path), "/boot/vmlinuz-%s", u.release);
		opt->kernel = path;
	}
	add_word(opt, "console", "hvc0");
	/* further words for the guest */
	describe_terminal(opt);
	if (opt->verbose)
		print(rows);
}

/* compare the memory with the module's bounds */
void options_check_memory(struct options *opt)
{
	uint64_t least = LG_MIN_FRAMES * PAGE_SIZE / MiB;
	uint64_t most = LG_MAX_FRAMES * PAGE_SIZE / MiB;

	opt->memory &= -PAGE_SIZE;
	/* refuse too little or too much memory */
	if (opt->memory / MiB < least)
		die(NO_RESOURCE, "--memory of %lu KiB is under the minimum: give at "
		    "least %luM", opt->memory >> 10, least);
	if (opt->memory > most * MiB)
		die(NO_RESOURCE, "--memory of %lu MiB is over the maximum: give at "
		    "most %luM", opt->memory / MiB, most);
	/* advice on memory */
	uint64_t available = memory_available() / MiB;

	if (available && opt->memory / MiB > available)
		die(NO_RESOURCE, "--memory of %lu MiB is more than the host has free: "
		    "give at most %luM, or stop something (see free -m)",
		    opt->memory / MiB, available);
}
