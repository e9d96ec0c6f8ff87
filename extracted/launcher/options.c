// SPDX-License-Identifier: GPL-2.0
#include <getopt.h>
#include <sys/utsname.h>
/* further headers of the options */


#include "launcher.h"

/* text of --help and names of options */
static const char usage[] =
"usage: lguest [options]\n"
"Run a Linux guest without virtual-machine hardware, under the module lg.\n"
"\n"
"  -k, --kernel FILE    bzImage or vmlinux with a Xen PV entry\n"
"                       (default: /boot/vmlinuz of the running kernel)\n"
"  -i, --initrd FILE    initial RAM disk\n"
"  -a, --append TEXT    more words for the guest kernel's command line\n"
"  -m, --memory SIZE    the guest's memory, such as 256M or 2G (default 256M)\n"
"      --console WHERE  stdio (the default) or file=FILE\n"
/* help on further consoles */
"                       or pty or unix=SOCKET\n"
/* more lines of help */
"  -d, --block FILE     a disk: FILE[,ro][,discard=off]; may be repeated\n"
"  -n, --net CABLE      a network: user[,forward=tcp:127.0.0.1:2222-22]...,\n"
"                       tap=NAME or none (default none)\n"
"      --rng            random numbers from the host, for the guest\n"
"  -s, --share DIR      a directory: DIR[,tag=TAG][,ro]; may be repeated\n"
"      --root none      a command's root: busybox, and nothing of the host's\n"
"  -- COMMAND [ARG]...  run COMMAND in a guest that is made for it\n"
"      --root DIR       a command's root, read-only under a layer in memory\n"
"      --name NAME      name the guest; no two running guests share one\n"
"      --check          say what this machine offers, and what is missing\n"
"  -v, --verbose        print the whole equivalent command line\n"
"  -q, --quiet          print nothing but errors\n"
"  -h, --help           print this\n"
"  -V, --version        print the version\n"
"\n"
"On the terminal, Ctrl-A x ends the guest and Ctrl-A Ctrl-A sends a Ctrl-A.\n"
"Exit status: 0 powered off, 1 usage, 2 host cannot, 3 bad kernel,\n"
"4 resource, 5 guest crashed, 6 internal error.\n";

static const struct option longs[] = {
	{ "kernel",	required_argument, NULL, 'k' },
	{ "initrd",	required_argument, NULL, 'i' },
	{ "append",	required_argument, NULL, 'a' },
	{ "memory",	required_argument, NULL, 'm' },
	{ "console",	required_argument, NULL, 'C' },
	{ "verbose",	no_argument, NULL, 'v' },
	{ "quiet",	no_argument, NULL, 'q' },
	{ "help",	no_argument, NULL, 'h' },
	{ "version",	no_argument, NULL, 'V' },
	/* more long options */
	{ "block",	required_argument, NULL, 'd' },
	{ "net",	required_argument, NULL, 'n' },
	{ "rng",	no_argument, NULL, 'r' },
	{ "share",	required_argument, NULL, 's' },
	{ "root",	required_argument, NULL, 'R' },
	{ "name",	required_argument, NULL, 'N' },
	{ "check",	no_argument, NULL, 'c' },
	{ 0 }
};

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

/* parse the options */
static _Noreturn void answer(int c)
{
	if (c == 'h')
		fputs(usage, stdout);
	else if (c == 'V')
		puts("lguest " LG_VERSION);
	/* answers to further options */
	else if (c == 'c')
		exit(check_host());
	else
		die(BAD_USAGE, "lguest --help lists the options");
	exit(OK);
}

void options_parse(struct options *opt, int argc, char **argv)
{
	/* tables of the options' places */
	const char *memory = "256M";
	const char **text[128] = {
		['k'] = &opt->kernel, ['i'] = &opt->initrd, ['a'] = &opt->append,
		['C'] = &opt->console, ['m'] = &memory,
		/* places of further options */
		['N'] = &opt->name,
	};
	bool *flag[128] = { ['v'] = &opt->verbose, ['q'] = &opt->quiet };
	text['n'] = &opt->net;
	flag['r'] = &opt->rng;
	text['R'] = &opt->root;
	int c;

	*opt = (struct options) { .append = "", .console = "stdio" };
	optind = 0;
	while ((c = getopt_long(argc, argv, "k:i:a:m:vqhV" "d:"
							   "n:"
							   "s:", longs, NULL)) != -1)
		if (text[c])
			*text[c] = optarg;
		else if (flag[c])
			*flag[c] = true;
		/* take other options */
		else if (c == 'd' && opt->blocks < LG_NR_DEVICES - 1)
			opt->block[opt->blocks++] = optarg;
		else if (c == 'd')
			die(BAD_USAGE, "--block %s: a guest has at most %d devices",
			    optarg, opt->blocks);
		else if (c == 's')
			share_add(opt, optarg);
		else
			answer(c);
	/* check the options' values */
	if (optind < argc)
		die(BAD_USAGE, "'%s' is not an option: lguest --help lists them",
		    argv[optind]);
	if (!parse_size(memory, &opt->memory))
		die(BAD_USAGE, "--memory %s is not a size: write a number and a "
		    "unit, such as 256M or 2G", memory);
	if (!valid_console(opt->console))
		die(BAD_USAGE, "--console %s is no kind of console: lguest --help "
		    "lists them", opt->console);
	/* checks of further options */
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

void options_print(const struct options *opt)
{
	fprintf(stderr, "lguest --memory %luK", opt->memory >> 10);
	print_quoted("kernel", opt->kernel);
	if (opt->initrd)
		print_quoted("initrd", opt->initrd);
	print_quoted("append", opt->append);
	print_quoted("console", opt->console);
	/* print other options */
	for (int i = 0; i < opt->blocks; i++)
		print_quoted("block", opt->block[i]);
	if (opt->net)
		print_quoted("net", opt->net);
	if (opt->rng)
		fputs(" --rng", stderr);
	for (struct share *s = opt->shares; s; s = s->next)
		fprintf(stderr, " --share '%s,tag=%s%s'", s->dir, s->tag,
			s->read_only ? ",ro" : "");
	if (opt->name)
		print_quoted("name", opt->name);
	fprintf(stderr, "%s\n", opt->quiet ? " --quiet" : "");
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
