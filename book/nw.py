# SPDX-License-Identifier: GPL-2.0
"""lguest.nw as a list of pieces of prose and chunks of code."""
import re

PART = re.compile(r'\\lgpart\{(\w+)\}\{(.*)\}\s*$')
APPENDIX = re.compile(r'\\lgappendix\b')
CHAPTER = re.compile(r'\\chapter\*?\{(.*)\}\s*$')
DEFINE = re.compile(r'<<(.*)>>=\s*$')
USE = re.compile(r'(?<!@)<<(.+?)(?<!@)>>')
FILE = re.compile(r'[\w.+-]+(/[\w.+-]+)+$')
TEX = {'\\': r'\textbackslash{}', '{': r'\{', '}': r'\}', '$': r'\$',
       '&': r'\&', '%': r'\%', '#': r'\#', '_': r'\_',
       '^': r'\textasciicircum{}', '~': r'\textasciitilde{}', ' ': '~'}


class Piece:
    """Some prose (code is None) or one definition of a chunk."""

    def __init__(self, line, part, chapter, name=None):
        self.line, self.part, self.chapter = line, part, chapter
        self.name = name        # of the chunk
        self.lines = []         # prose or code
        self._uses = None

    @property
    def is_code(self):
        return self.name is not None

    def code(self):
        """The lines as they are tangled, references still as <<name>>."""
        return [l[1:] if l.startswith('@@') else l for l in self.lines]

    def uses(self):
        if self._uses is None:
            self._uses = [n for l in self.lines for n in USE.findall(l)]
        return self._uses


class Book:
    def __init__(self, path):
        self.path = path
        self.pieces = []
        self._users = None
        part = chapter = ''
        piece = Piece(1, part, chapter)
        with open(path, encoding='utf-8') as f:
            text = f.read().split('\n')
        if text and text[-1] == '':
            text.pop()
        for number, line in enumerate(text, 1):
            define = DEFINE.match(line)
            if define:
                self._add(piece)
                piece = Piece(number, part, chapter, define.group(1))
                continue
            if piece.is_code and re.match(r'@( |$|%)', line):
                self._add(piece)
                piece = Piece(number, part, chapter)
                rest = re.sub(r'^@\s*(%.*)?', '', line)
                piece.lines.append(rest)
                continue
            if not piece.is_code:
                new = PART.match(line)
                if new or APPENDIX.match(line) or CHAPTER.match(line):
                    self._add(piece)
                    if new:
                        part, chapter = new.group(1), ''
                    elif APPENDIX.match(line):
                        part, chapter = 'A', ''
                    else:
                        chapter = CHAPTER.match(line).group(1)
                    piece = Piece(number, part, chapter)
            piece.lines.append(line)
        self._add(piece)
        self.chunks = {}
        for p in self.pieces:
            if p.is_code:
                self.chunks.setdefault(p.name, []).append(p)
        self.roots = sorted(n for n in self.chunks if FILE.match(n))

    def users(self, name):
        """The pieces of code that refer to a chunk."""
        if self._users is None:
            self._users = {}
            for p in self.pieces:
                for use in dict.fromkeys(p.uses() if p.is_code else []):
                    self._users.setdefault(use, []).append(p)
        return self._users.get(name, [])

    def _add(self, piece):
        if piece.is_code or any(l.strip() for l in piece.lines):
            self.pieces.append(piece)

    def files_of(self):
        """Which files each chunk goes into: name -> [file, ...]."""
        files = {}

        def walk(name, root, above):
            if name in above or name not in self.chunks:
                return
            files.setdefault(name, []).append(root)
            for p in self.chunks[name]:
                for use in p.uses():
                    walk(use, root, above | {name})
        for root in self.roots:
            walk(root, root, frozenset())
        return files


def words(lines):
    """How many words of prose there are in lines of LaTeX."""
    text = re.sub(r'(?m)(?<!\\)%.*$', '', '\n'.join(lines))
    text = re.sub(r'(?s)\\begin\{(tikzpicture|tabular|verbatim|lstlisting)\}'
                  r'.*?\\end\{\1\}', ' ', text)
    text = re.sub(r'\\(label|ref|begin|end|lgpart|vspace|index)\{[^}]*\}',
                  ' ', text)
    text = re.sub(r'\\[a-zA-Z]+\*?', ' ', text)
    return len(re.findall(r"[A-Za-z0-9][\w'/.-]*", text))


def code_lines(piece, file):
    """Code lines of a chunk: no blank, no comment, no reference alone."""
    text = '\n'.join(piece.code())
    if re.search(r'\.(c|h|S|lds)$', file):
        text = re.sub(r'(?s)/\*.*?\*/', '', text)
        text = re.sub(r'(?m)(^|\s)//.*$', '', text)
    elif file.endswith('.1'):
        return 0
    else:
        text = re.sub(r'(?m)^\s*#.*$', '', text)
    return sum(1 for l in text.split('\n')
               if l.strip() and not re.match(r'\s*<<.+>>\s*$', l))


def tex(text):
    return ''.join(TEX.get(c, c) for c in text)


def tex_code(text):
    """Code within prose: as tex(), but it may break after _ / and ,"""
    text = tex(text).replace('~', ' ')
    return re.sub(r'(\\_|/|,|->|\.)(?=\w)', r'\1\\allowbreak{}', text)
