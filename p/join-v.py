#!/usr/bin/env python3
# join-v.py BASE.nw OUT.nw: part VII of all pieces here, and their places in parts II, IV, V.
import glob, os, sys
here = os.path.dirname(os.path.abspath(__file__))
s = open(sys.argv[1]).read()
def sub(a, b):
    global s
    if b in s:
        return
    assert s.count(a) == 1, (s.count(a), a)
    s = s.replace(a, b)
# mine
sub('''	d->mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
''', '''	<<choose shared memory>>
	d->mem = mmap(NULL, size, PROT_READ | PROT_WRITE, memfd < 0 ?
		      MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, memfd, 0);
''')
sub('''	size_t size = bytes + PAGE_SIZE;

	d->frames''', '''	size_t size = bytes + PAGE_SIZE;
	int memfd = -1;

	d->frames''')
sub('''A child process must not inherit the guest: the module's mappings belong to our address space and to no other.
''', '''A child process must not inherit the guest: the module's mappings belong to our address space and to no other.
The memory is private, unless a device of part~VII wants to share it with another program and names a file for it.
''')
sub('''for (int i = 0; i < g->opt->blocks; i++)
	block_add(g, g->opt->block[i]);
''', '''for (int i = 0; i < g->opt->blocks; i++) {
	<<leave other kinds of disks to others>>
	block_add(g, g->opt->block[i]);
}
''')
sub('''	if (!PageAnon(page)) {
''', '''	if (!PageAnon(page) && !folio_test_swapbacked(page_folio(page))) {
''')
sub('''The contract says private anonymous memory, and here it is enforced: a page of a file, made dirty behind its file system's back, would be a quarrel of ours with the host.
''', '''The contract says anonymous memory or a memfd, and here it is enforced: a page of a file, made dirty behind its file system's back, would be a quarrel of ours with the host.
A memfd's pages, and a tmpfs's, have nothing behind them but swap space, like anonymous ones, and the host marks both kinds with the same flag.
Such a page may lose its file while it is pinned, when the file is cut short or a hole is punched into it; the flag stays, and so does the page, until the last pin goes.
''')
s = s.replace(' * private anonymous memory.  Frames 0', ' * anonymous memory or a memfd.  Frames 0').replace(' * private anonymous memory at base), EINTR', ' * anonymous memory or memfd at base), EINTR')
# port's
sub('''options_check_memory(&opt);
@''', '''options_check_memory(&opt);
<<claims of further options>>
@''')
sub('	<<look at the options>>\n', '	<<take words that are no options>>\n	<<look at the options>>\n')
sub('while (wants_reboot(&g));\nconsole_restore();\n',
    'while (wants_reboot(&g));\nconsole_restore();\n<<give back a command\'s status>>\n')
t = ''.join(open(f).read() for f in [here + '/v1-share.nw'] + sorted(glob.glob(here + '/[0-9]-*.nw')) + [here + '/v2-oneword.nw'])
for a, b in (('fields of further options', 'more fields of the options'), ('further long options', 'more long options'),
             ('help on further options', 'more lines of help'), ('manual of further options', 'more options of the manual page'),
             ('further synopses', 'more options of the manual page'), ('further parts of the launcher', 'more parts of the launcher')):
    t = t.replace('<<%s>>' % a, '<<%s>>' % b)
t = t.replace("<<places of further options>>=\n['R'] = &opt->root,", "<<tables of the options' places>>=\ntext['R'] = &opt->root;")
sub('''#include "launcher.h"

<<survive signals>>''', '''#include "launcher.h"
<<further headers of main>>

<<survive signals>>''')
t += '''
What [[main]] calls of a session stands in a header of its own.

<<further headers of main>>=
#include <string.h>
#include "session.h"
@
'''
if '\tcon.terminal' not in s:		# the whole book's console, not the slim one's
    t = t.replace('''	con.terminal = true;
	console_raw();
''', '''	struct termios t;

	if (!con.raw && tcgetattr(0, &con.saved) < 0)
		return;
	t = con.saved;
	cfmakeraw(&t);
	con.raw = tcsetattr(0, TCSANOW, &t) == 0;
''')
import re
if '<<further tests>>\n' not in s:	# its unit tests wait for the collectors of the slim book
	t = re.sub(r'<<(further headers of the tests|further tests|runs of further tests)>>=\n.*?\n@\n', '', t, flags=re.S)
t = '\\lgpart{VII}{Tools}\n\n' + t
i = s.index('\\lgpart{VIII}')
open(sys.argv[2], 'w').write(s[:i] + t + '\n' + s[i:])
