# The hooks in the files of earlier parts, as long as those have no chunks for them.
import os
def sub(f,*prs):
    s=open(f).read()
    for a,b in prs:
        assert a in s,(f,a)
        s=s.replace(a,b,1)
    open(f,'w').write(s)
sub('launcher/main.c',
 ('	/* look at the options */\n','	if (argc > 1 && !strcmp(argv[1], "console"))\n		return session_console(argv + 2);\n	session_arguments(&argc, argv);\n	/* look at the options */\n'),
 ('	options_check_memory(&opt);\n','	options_check_memory(&opt);\n	session_plan(&g, &opt);\n'),
 ('	console_restore();\n	if (g.run.exit','	console_restore();\n	if (session_end() >= 0)\n		return session_end();\n	if (g.run.exit'),
 ('#include "launcher.h"\n','#include "launcher.h"\n#include "session.h"\n'))
sub('launcher/launcher.h',('	bool rng;\n','	bool rng;\n	const char *root;\n'))
sub('launcher/options.c',('	{ "rng",','	{ "root",	required_argument, NULL, \'R\' },\n	{ "rng",'),
 ("['N'] = &opt->name,","['N'] = &opt->name, ['R'] = &opt->root,"))
sub('launcher/Makefile',('libraries += -luring\n','libraries += -luring -lkmod\n'),('parts += loop virtqueue pci','parts += initrd port session\nparts += loop virtqueue pci'),
 ('.PHONY: unit\n','''$(O)/agent: ../agent/agent.c agent.h Makefile
	@mkdir -p $(O)
	musl-gcc -std=gnu11 -Wall -Wextra -Wno-sign-compare -Wno-unused-parameter \\
		-Os -s -static -idirafter /usr/include \\
		-idirafter /usr/include/x86_64-linux-gnu -o $@ $<

$(O)/initrd.o: $(O)/agent
$(O)/initrd.o $(O)/unit: flags += -Wa,-I$(O)
$(O)/unit: $(O)/agent

.PHONY: unit
'''))
