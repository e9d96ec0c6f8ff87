// SPDX-License-Identifier: GPL-2.0
/*
 * A 32-bit program without a library: system calls by int $0x80 and by the
 * vDSO (which uses syscall or sysenter where the CPU has them for 32-bit code).
 * It is ended by a status: 0, or the number of the step that went wrong.
 */
static int by_int(int nr, int a, int b, int c)
{
	int r;

	asm volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory");
	return r;
}

static unsigned int vsyscall;

static int by_vdso(int nr, int a, int b, int c)
{
	int r;

	asm volatile("call *%5" : "=a"(r) : "0"(nr), "b"(a), "c"(b), "d"(c),
		     "m"(vsyscall) : "memory");
	return r;
}

void start(unsigned int *sp)
{
	static const char line[] = "32-bit: int $0x80 and the vDSO agree\n";
	int i, s = 0;

	for (sp += *sp + 2; *sp; sp++)		/* arguments, environment */
		;
	for (sp++; *sp; sp += 2)
		if (*sp == 32)			/* AT_SYSINFO */
			vsyscall = sp[1];
	if (!vsyscall)
		s = 1;
	for (i = 0; !s && i < 1000; i++) {
		if (by_vdso(20, 0, 0, 0) != by_int(20, 0, 0, 0))	/* getpid */
			s = 2;
		else if (by_vdso(6, -1, 0, 0) != -9)			/* close */
			s = 3;
	}
	if (!s)
		by_vdso(4, 1, (int)line, sizeof(line) - 1);		/* write */
	by_int(1, s, 0, 0);						/* exit */
}
asm(".globl _start\n_start: mov %esp, %eax\npush %eax\ncall start");
