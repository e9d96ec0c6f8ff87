#!/usr/bin/env python3
# join.py BASE.nw OUT.nw: put the chapter into part VII and its two hooks into part II.
import glob, os, sys
here = os.path.dirname(os.path.abspath(__file__))
s = open(sys.argv[1]).read()
def sub(a, b):
    global s
    if b in s:
        return
    assert s.count(a) == 1, (s.count(a), a)
    s = s.replace(a, b)
sub('	<<look at the options>>\n', '	<<take words that are no options>>\n	<<look at the options>>\n')
sub('while (wants_reboot(&g));\nconsole_restore();\n',
    'while (wants_reboot(&g));\nconsole_restore();\n<<give back a command\'s status>>\n')
t = ''.join(open(f).read() for f in sorted(glob.glob(here + '/[0-9]-*.nw')))
if '<<take another root>>=' not in s:      # the host's root: not there yet
    t = t.replace('\t<<take another root>>\n', '')
if '\\lgpart{VII}' not in s:
    t = '\\lgpart{VII}{Tools}\n\n' + t
i = s.index('\\lgpart{VIII}')
open(sys.argv[2], 'w').write(s[:i] + t + '\n' + s[i:])
