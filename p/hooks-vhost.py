# What parts II and V must get for part VII's shares (on top of dev's and port's)
import sys
def sub(p,*prs):
    p=sys.argv[1]+'/'+p
    s=open(p).read()
    for a,b in prs:
        assert a in s,(p,a)
        s=s.replace(a,b,1)
    open(p,'w').write(s)
L='launcher/'
sub(L+'domain.c',('''	d->mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
''','''	d->memfd = -1;
@SHARED@	d->mem = mmap(NULL, size, PROT_READ | PROT_WRITE, d->memfd < 0 ?
		      MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, d->memfd, 0);
'''.replace('@SHARED@',''.join('\t'+l+'\n' for l in open(sys.argv[2]).read().rstrip().split('\n')))),
('static void memory_create(struct domain *d, uint64_t bytes)','static void memory_create(struct domain *d, const struct options *opt,\n\t\t\t  uint64_t bytes)'),
('memory_create(d, opt->memory)','memory_create(d, opt, opt->memory)'),
('''	munmap(d->mem, (d->frames + 1) << PAGE_SHIFT);
''','''	munmap(d->mem, (d->frames + 1) << PAGE_SHIFT);
	if (d->memfd >= 0)
		close(d->memfd);
'''),('#include <errno.h>\n','#define _GNU_SOURCE\n#include <errno.h>\n#include <fcntl.h>\n'),('#include <sys/mman.h>\n','#include <sys/mman.h>\n#include <unistd.h>\n'))
sub(L+'launcher.h',('	struct xencons *console;\n','	struct xencons *console;\n	int memfd;		/* -1: private memory */\n'),
('	bool rng;\n','	bool rng;\n	struct share share[MAX_SHARES];\n	int shares;\n'),
('#include "lguest.h"\n','#include "lguest.h"\n#include "share.h"\n'))
sub(L+'Makefile',('parts += initrd','parts += vhost share storage\nparts += initrd'),('device.h ','device.h vhost.h share.h '))
sub(L+'options.c',('''		else if (c == 'd')
			block_option(opt, optarg);
''','''		else if (c == 'd')
			block_option(opt, optarg);
		else if (c == 's')
			share_add(opt, optarg);
'''),('d:vqhV','d:s:vqhV'),('''	{ "rng",	no''','''	{ "share",	required_argument, NULL, 's' },
	{ "rng",	no'''),('''"      --rng ''','''"  -s, --share DIR      a directory: DIR[,tag=TAG][,ro]; may be repeated\\n"
"      --rng '''),
('''	/* fill in the defaults */
''','''	session_shell(opt);
	/* fill in the defaults */
'''),('#include "launcher.h"\n','#include "launcher.h"\n#include "session.h"\n'))
sub(L+'main.c',('	devices_open(&g);\n','	devices_open(&g);\n	shares_open(&g);\n	atexit(backends_stop);\n'),('#include "session.h"\n','#include "session.h"\n#include "vhost.h"\n'))
sub(L+'pci.c',("""		block_add(g, g->opt->block[i]);
""","""		if (storage_wants(g->opt->block[i]))
			storage_add(g, g->opt->block[i]);
		else
			block_add(g, g->opt->block[i]);
"""))
