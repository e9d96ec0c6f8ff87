// SPDX-License-Identifier: GPL-2.0
#include <cpuid.h>
#include <sys/utsname.h>

#include "launcher.h"

/* give a verdict */
enum verdict { PROVEN, UNTESTED, NO };

static enum verdict worst;

static void tell(enum verdict v, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void tell(enum verdict v, const char *what, const char *fmt, ...)
{
	static const char *const words[] = { "proven", "untested here", "NO" };
	va_list ap;

	/* print the line */
	va_start(ap, fmt);
	printf("%-14s %-12s ", words[v], what);
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	if (v > worst)
		worst = v;
}

static bool grep_file(const char *path, const char *word)
{
	char text[8192] = " ";
	FILE *f = fopen(path, "re");
	size_t size = f ? fread(text + 1, 1, sizeof(text) - 3, f) : 0;

	for (size_t i = 0; i <= size; i++)
		if (text[i] == '\n' || text[i] == '\t')
			text[i] = ' ';
	text[size + 1] = ' ';
	if (f)
		fclose(f);
	return strstr(text, word);
}

static bool cpu_flag(const char *flag)
{
	return grep_file("/proc/cpuinfo", flag);
}

/* check the processor */
static void check_cpu(void)
{
	unsigned int a, b, c, d, name[13] = { 0 };
	bool virtual = __get_cpuid(1, &a, &b, &c, &d) && c >> 31;

	if (virtual)
		__cpuid(0x40000000, a, name[0], name[1], name[2]);
	else
		__cpuid(0, a, name[0], name[2], name[1]);
	/* judge it */
	if (cpu_flag(" fred "))
		tell(NO, "processor", "the host uses FRED, which is not "
		     "supported yet: boot the host with fred=off");
	else if (cpu_flag(" tdx_guest ") || (virtual && cpu_flag(" sev_es ")))
		tell(NO, "processor", "this is a confidential guest (SEV or "
		     "TDX), where lguest cannot work: use another machine");
	else
		tell(strcmp((char *)name, "TCGTCGTCGTCG") ? UNTESTED : PROVEN,
		     "processor", "%s%s", (char *)name,
		     cpu_flag(" la57 ") ? ", 5-level page tables" : "");
}

/* check the host's kernel */
static void check_kernel(void)
{
	struct utsname u;
	int major = 0, minor = 0;

	uname(&u);
	sscanf(u.release, "%d.%d", &major, &minor);
	/* judge the kernel */
	if (grep_file("/sys/hypervisor/guest_type", " PV "))
		tell(NO, "kernel", "this host is a Xen PV guest itself, and "
		     "Xen has the addresses that lguest needs: use a PVH "
		     "guest as host");
	else if (major < 6 || (major == 6 && minor < 1))
		tell(NO, "kernel", "%s is older than 6.1: use a newer kernel",
		     u.release);
	else
		tell(major == 6 && (minor == 1 || minor == 12) ?
		     PROVEN : UNTESTED, "kernel", "%s", u.release);
}

static void check_secure_boot(void)
{
	static const char lockdown[] = "/sys/kernel/security/lockdown";

	if (grep_file(lockdown, " [integrity] ") ||
	    grep_file(lockdown, " [confidentiality] "))
		tell(UNTESTED, "Secure Boot", "on: the kernel loads only "
		     "signed modules, so enrol DKMS's key (mokutil --import "
		     "/var/lib/dkms/mok.pub, then reboot)");
	else
		tell(PROVEN, "Secure Boot", "off, or the kernel does not "
		     "insist on signed modules");
}

/* check module and device */
static void check_module(void)
{
	if (!access("/sys/module/lg", F_OK))
		tell(PROVEN, "module", "lg is loaded");
	else if (!system("/sbin/modinfo -n lg >/dev/null 2>&1"))
		tell(PROVEN, "module", "lg is installed and loads by itself");
	else
		tell(NO, "module", "lg is not installed for this kernel: "
		     "`make install`, or `insmod` what `make` built");
}

static void check_device(void)
{
	if (!access(DEVICE, R_OK | W_OK))
		tell(PROVEN, "device", DEVICE " may be opened");
	else if (errno == ENOENT)
		tell(NO, "device", DEVICE " is not there: `modprobe lg`");
	else
		tell(NO, "device", "no permission on " DEVICE ": run as "
		     "root, or join the group that `ls -l " DEVICE "` shows");
}

/* check the host */
int check_host(void)
{
	check_cpu();
	check_kernel();
	check_secure_boot();
	check_module();
	check_device();
	return worst == NO ? BAD_HOST : OK;
}
