# SPDX-License-Identifier: GPL-2.0
"""Which chunk defines an identifier, and which chunks use it."""
import os
import re
import subprocess

from pygments.lexers import CLexer, GasLexer, MakefileLexer, TextLexer
from pygments.token import Comment, Keyword, String, Name, Number, Token

from nw import USE

WORD = re.compile(r'[A-Za-z_]\w+')
TAG = re.compile(r'(?:struct|union|enum)\s+(\w+)')


class Index:
    """The definitions are those that Universal Ctags finds in the tangled
    files, led back to lguest.nw by the tangler's map."""

    def __init__(self, book, source, directory, here, draft=False):
        self.book = book
        self.files = book.files_of()
        self.idents = {}        # name -> [piece, ...]
        self.home = {}          # (name, file) -> piece
        self.elsewhere = {}     # name -> piece, seen from other files
        self._uses, self._defined = {}, {}
        self.tags = set()       # names of structs, unions and enums only
        if not book.roots:
            return
        tree = os.path.join(directory, 'extracted')
        tangle = os.path.join(here, 'tangle')
        if subprocess.run([tangle, '-o', tree, source], check=False,
                          stdout=subprocess.DEVNULL).returncode:
            if draft:           # no identifiers then
                return
            raise SystemExit(2)
        places = {}
        for line in subprocess.run([tangle, '-m', source], check=True, text=True,
                                   stdout=subprocess.PIPE).stdout.split('\n'):
            if line:
                file, number, where = line.split('\t')
                places[file, int(number)] = int(where)
        tags = subprocess.run(
            ['ctags', '-R', '-n', '--fields=+nK', '--languages=C,C++,Asm',
             '--langmap=C:.c.h,C++:,Asm:.S', '--kinds-C=defgstuv', '-f', '-',
             '.'], cwd=tree, check=True, text=True, stdout=subprocess.PIPE)
        code = [p for p in book.pieces if p.is_code]
        others = set()
        for line in tags.stdout.split('\n'):
            m = re.match(r'(\w+)\t(?:\./)?(\S+)\t(\d+);', line)
            if not m or len(m.group(1)) < 2 or '__anon' in line.split('\t')[0]:
                continue
            where = places.get((m.group(2), int(m.group(3))), 0)
            piece = next((p for p in code
                          if p.line <= where <= p.line + len(p.lines)), None)
            if piece:
                name = m.group(1)
                kind = line.split('\t')[3]
                (self.tags if kind in ('struct', 'union', 'enum')
                 else others).add(name)
                if piece not in self.idents.setdefault(name, []):
                    self.idents[name].append(piece)
                self.home.setdefault((name, m.group(2)), piece)
                if not m.group(2).endswith('/unit.c'):
                    self.elsewhere.setdefault(name, piece)
        self.tags -= others
        for piece in code:
            text = USE.sub(' ', re.sub(r'(?s)/\*.*?\*/', ' ',
                                       '\n'.join(piece.code())))
            tagged = set(TAG.findall(text))
            for name in dict.fromkeys(WORD.findall(text)):
                if name in self.idents and (name not in self.tags
                                            or name in tagged):
                    self._uses.setdefault(name, []).append(piece)
        for name, pieces in self.idents.items():
            for p in pieces:
                self._defined.setdefault(id(p), set()).add(name)

    def where(self, name, file=None):
        """The chunk that defines "name" or "struct name", or None."""
        tag = TAG.match(name)
        if tag:
            name = tag.group(1)
        elif name in self.tags:
            return None
        if (name, file) in self.home:
            return self.home[name, file]
        return self.elsewhere.get(name)

    def uses(self, name):
        return self._uses.get(name, [])

    def defined_in(self, piece):
        return self._defined.get(id(piece), set())


def lexer(file):
    if re.search(r'\.[ch]$', file):
        return CLexer(stripnl=False, ensurenl=False)
    if file.endswith('.S'):
        return GasLexer(stripnl=False, ensurenl=False)
    if re.search(r'(Makefile|Kbuild)$', file):
        return MakefileLexer(stripnl=False, ensurenl=False)
    return TextLexer(stripnl=False, ensurenl=False)


def kind_of(token, text):
    if token in Comment.PreprocFile:
        return 'S'
    if token in Comment.Preproc:
        return 'P' if text.startswith('#') else ''
    if token in Comment:
        return 'C'
    if token in Keyword:
        return 'K'
    if token in String or token in Number and text[:1] in '\'"':
        return 'S'
    return ''


def tokens(piece, file, defined):
    """Each line of a chunk as (kind, text) pairs: '', K(eyword), C(omment),
    S(tring), P(reprocessor), id, tag (of a struct), def or use (of a chunk)."""
    uses = []

    def hide(match):
        uses.append(match.group(1))
        return f'LGUSE{len(uses) - 1}X'
    text = '\n'.join(USE.sub(hide, l) for l in piece.code())
    text = re.sub(r'@(<<|>>)', r'\1', text).expandtabs(8)
    first, line, before = set(defined), [], ''
    for token, value in lexer(file).get_tokens(text):
        kind = kind_of(token, value)
        if token in Comment.Preproc:
            word = re.match(r'(include|define|undef|(el)?if|ifn?def|else|'
                            r'endif|error)\b', value)
            if word and line and line[-1] == ('P', '#'):
                line[-1] = ('P', '#' + word.group(0))
                value = value[word.end():]
        for i, part in enumerate(value.split('\n')):
            if i:
                yield line
                line = []
            if kind in ('C', 'S') and 'LGUSE' not in part:
                if part:
                    line.append((kind, part))
                continue
            for bit in re.split(r'(LGUSE\d+X|[A-Za-z_]\w*)', part):
                hidden = re.match(r'LGUSE(\d+)X$', bit)
                if hidden:
                    line.append(('use', uses[int(hidden.group(1))]))
                elif bit in first:
                    line.append(('def', bit))
                    first.discard(bit)
                elif kind:
                    line.append((kind, bit))
                elif WORD.match(bit):
                    line.append(('tag' if before in ('struct', 'union', 'enum')
                                 else 'id', bit))
                elif bit:
                    line.append(('', bit))
                if bit.strip():
                    before = bit
    if line:
        yield line
