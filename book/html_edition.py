# SPDX-License-Identifier: GPL-2.0
"""The book as web pages: one a chapter, no server needed.

Prose goes through pandoc, code through Pygments, pictures through LuaLaTeX
and pdftocairo.  Whatever pandoc is not to see is a word like LGX12X in its
input, which is put back afterwards.
"""
import hashlib
import html
import json
import os
import re
import shutil
import subprocess

from index import tokens
from nw import tex_code

QUOTE = re.compile(r'\[\[(.*?)\]\](?!\])')
MACROS = r'''
\newcommand{\lgterm}[1]{\textbf{\emph{#1}}}
\newcommand{\lgc}[1]{\texttt{#1}}
'''
FIGURE = r'''\documentclass[border=3pt]{standalone}
\usepackage{lgfigures}\newcommand{\linewidthfigure}{}
\begin{document}%s\end{document}
'''


def slug(text):
    text = re.sub(r'\[\[|\]\]|\\[a-z]+', '', text)
    return re.sub(r'\W+', '-', text.lower()).strip('-') or 'page'


def argument(text, macro):
    """The argument of the first \\macro{...} in text, braces and all."""
    at = text.find(macro + '{')
    if at < 0:
        return ''
    start = at = at + len(macro) + 1
    depth = 1
    while depth and at < len(text):
        if text[at] == '\\':
            at += 1
        else:
            depth += {'{': 1, '}': -1}.get(text[at], 0)
        at += 1
    return text[start:at - 1].strip()


class Page:
    def __init__(self, kind, title, number=''):
        self.kind, self.title, self.number = kind, title, number
        self.pieces, self.sections = [], []
        self.file = (f'{number.lower()}-' if number and kind == 'chapter'
                     else f'part-{number.lower()}-' if number else '') \
            + slug(title) + '.html'

    @property
    def heading(self):
        if self.kind == 'part':
            return f'Part {self.number}: {self.title}' if self.number != 'A' \
                else self.title
        return f'{self.number}. {self.title}' if self.number else self.title


class Edition:
    def __init__(self, book, index, runs, directory):
        self.book, self.index, self.runs = book, index, runs
        self.work = directory
        self.out = os.path.join(directory, 'html')
        self.here = os.path.dirname(os.path.abspath(__file__))
        self.complaints = []
        self.hidden = []
        self.labels = {}        # label -> (file, number)
        self.code = [p for p in book.pieces if p.is_code]
        self.number = {id(p): n for n, p in enumerate(self.code)}
        self.pages = []
        self.split()
        self.file_of = {}
        for page in self.pages:
            for p in page.pieces:
                self.file_of[id(p)] = page.file

    # -- pages, and the numbers that LaTeX gives
    def split(self):
        chapter, appendix = 0, False
        page = None
        for piece in self.book.pieces:
            first = piece.lines[0] if piece.lines and not piece.is_code else ''
            m = re.match(r'\\(chapter\*?|lgpart|lgappendix)(?:\{(.*?)\})?'
                         r'(?:\{(.*)\})?\s*$', first)
            if m and m.group(1) == 'lgpart':
                page = Page('part', m.group(3), m.group(2))
            elif m and m.group(1) == 'lgappendix':
                page, chapter, appendix = Page('part', 'Appendices', 'A'), 0, True
            elif m and m.group(1) == 'chapter*':
                page = Page('chapter', m.group(2))
            elif m:
                chapter += 1
                page = Page('chapter', m.group(2),
                            chr(64 + chapter) if appendix else str(chapter))
            if page is None:
                page = Page('chapter', 'Beginning')
            if m or not self.pages:
                self.pages.append(page)
            page.pieces.append(piece)
        for page in self.pages:
            self.count(page)

    def count(self, page):
        section = sub = figure = table = 0
        last = page.number
        for piece in page.pieces:
            if piece.is_code:
                continue
            for line in piece.lines:
                if re.match(r'\\section\{', line):
                    section += 1
                    sub = 0
                    last = f'{page.number}.{section}' if page.number else ''
                    page.sections.append((last, re.match(
                        r'\\section\{(.*)\}', line).group(1)))
                elif re.match(r'\\subsection\{', line):
                    sub += 1
                    last = f'{page.number}.{section}.{sub}'
                dot = page.number + '.' if page.number else ''
                if '\\begin{figure}' in line:
                    figure += 1
                    last = f'{dot}{figure}'
                if '\\begin{table}' in line:
                    table += 1
                    last = f'{dot}{table}'
                for label in re.findall(r'\\label\{(.*?)\}', line):
                    self.labels[label] = (page.file, last or page.title)

    # -- things that pandoc does not see
    def hide(self, markup):
        self.hidden.append(markup)
        return f'LGX{len(self.hidden) - 1}X'

    def show(self, text):
        def one(m):
            return self.hidden[int(m.group(1))]
        for _ in range(4):
            text = re.sub(r'<p>\s*LGX(\d+)X\s*</p>', one, text)
            text = re.sub(r'LGX(\d+)X', one, text)
        return text

    def link(self, piece, inner, cls='id'):
        file = self.file_of[id(piece)]
        return (f'<a class="{cls}" href="{file}#c{self.number[id(piece)]}">'
                f'{inner}</a>')

    def quoted(self, m):
        code = m.group(1)
        inner = f'<code>{html.escape(code)}</code>'
        piece = self.index.where(code.rstrip('()'))
        return self.hide(self.link(piece, inner) if piece else inner)

    def plain(self, text):
        """A heading's or chunk's name as HTML."""
        text = QUOTE.sub(lambda m: self.hide(
            f'<code>{html.escape(m.group(1))}</code>'), text)
        text = re.sub(r'\\(emph|texttt|textbf)\{(.*?)\}', r'\2', text)
        text = text.replace('\\,', ' ').replace('~', ' ')
        return self.show(html.escape(text, quote=False))

    def svg(self, picture):
        key = hashlib.sha256()
        with open(os.path.join(self.here, 'lgfigures.sty'), 'rb') as f:
            key.update(f.read())
        key.update(picture.encode())
        cache = os.path.join(self.work, 'figures')
        os.makedirs(cache, exist_ok=True)
        base = os.path.join(cache, key.hexdigest()[:16])
        if not os.path.exists(base + '.svg'):
            with open(base + '.tex', 'w', encoding='utf-8') as f:
                f.write(FIGURE % QUOTE.sub(
                    lambda m: r'\lgc{' + tex_code(m.group(1)) + '}', picture))
            for command in (['lualatex', '-interaction=batchmode',
                             '-halt-on-error', '-output-directory', cache,
                             base + '.tex'],
                            ['pdftocairo', '-svg', base + '.pdf',
                             base + '.svg']):
                done = subprocess.run(
                    command, env=dict(os.environ, TEXINPUTS=self.here + ':'),
                    stdout=subprocess.DEVNULL, check=False)
                if done.returncode:
                    self.complaints.append(f'{base}.tex: {command[0]} failed')
                    return ''
        with open(base + '.svg', encoding='utf-8') as f:
            svg = f.read()
        svg = re.sub(r'<\?xml.*?\?>', '', svg)
        # Names inside a picture are its own.
        prefix = 'f' + key.hexdigest()[:6]
        svg = re.sub(r'(id="|xlink:href="#|url\(#)', r'\g<1>' + prefix, svg)
        return svg

    # -- prose
    def figure(self, m):
        body = m.group(1)
        label = re.search(r'\\label\{(.*?)\}', body)
        caption = argument(body, '\\caption')
        picture = re.search(
            r'(?s)(\\begin\{tikzpicture\}.*\\end\{tikzpicture\}|\\lgmap\{.*?\})',
            body)
        number = self.labels.get(label.group(1), ('', '?'))[1] if label else ''
        name = html.escape(label.group(1)) if label else ''
        return '\n\n' + self.hide(
            f'<figure id="{name}"><div class="picture">'
            + (self.svg(picture.group(1)) if picture else '')
            + f'</div><figcaption><b>Figure {number}.</b> ') + '\n\n' + \
            caption + '\n\n' + self.hide('</figcaption></figure>') + '\n\n'

    def table(self, m):
        body = m.group(1)
        label = re.search(r'\\label\{(.*?)\}', body)
        number = self.labels.get(label.group(1), ('', '?'))[1] if label else ''
        tabular = re.search(r'(?s)\\begin\{tabular\}.*\\end\{tabular\}', body)
        name = html.escape(label.group(1)) if label else ''
        return '\n\n' + self.hide(f'<div class="table" id="{name}"><b>Table '
                                  f'{number}.</b> ') + '\n\n' + \
            argument(body, '\\caption') + '\n\n' + \
            (tabular.group(0) if tabular else '') + '\n\n' + \
            self.hide('</div>') + '\n\n'

    def ref(self, m):
        label = m.group(1)
        if label not in self.labels:
            self.complaints.append(f'\\ref{{{label}}}: no such label')
            return '??'
        file, number = self.labels[label]
        return self.hide(f'<a href="{file}#{label}">{html.escape(number)}</a>')

    def run(self, m):
        path = os.path.join(self.runs, m.group(1) + '.txt')
        if not os.path.exists(path):
            self.complaints.append(f'{m.group(0)}: there is no {path}')
            return ''
        with open(path, encoding='utf-8', errors='replace') as f:
            text = html.escape(f.read().rstrip('\n'))
        text = re.sub(r'(?m)^([$#] .*)$', r'<b>\1</b>', text)
        return '\n\n' + self.hide(f'<pre class="run">{text}</pre>') + '\n\n'

    def latex(self, page):
        out = []
        for piece in page.pieces:
            if piece.is_code:
                out.append('\n\n' + self.hide(self.chunk(piece)) + '\n\n')
                continue
            text = '\n'.join(piece.lines)
            text = re.sub(r'(?s)\\begin\{figure\}(?:\[.*?\])?(.*?)'
                          r'\\end\{figure\}', self.figure, text)
            text = re.sub(r'(?s)\\begin\{table\}(?:\[.*?\])?(.*?)'
                          r'\\end\{table\}', self.table, text)
            text = re.sub(r'(?s)(?:\\resizebox\{[^}]*\}\{!\}\{)?\\begin'
                          r'\{tikzpicture\}.*?\\end\{tikzpicture\}\}?',
                          lambda m: self.hide(
                              '<figure class="picture">'
                              + self.svg(m.group(0)) + '</figure>'), text)
            text = re.sub(r'(?m)^\\(chapter\*?|lgpart|lgappendix)\b.*$', '', text)
            text = re.sub(r'\\lgrun\{([\w.-]+)\}', self.run, text)
            text = text.replace('\\S\\ref', '§\\ref')
            text = QUOTE.sub(self.quoted, text)
            text = re.sub(r'\\(?:page)?ref\{(.*?)\}', self.ref, text)
            text = re.sub(r'\\label\{(.*?)\}', lambda m: self.hide(
                f'<span id="{html.escape(m.group(1))}"></span>'), text)
            text = re.sub(r'\\begin\{pitfall\}\{(.*)\}', lambda m:
                          '\n\n' + self.hide(
                              '<aside class="pitfall"><h4>Pitfall: '
                              + self.plain(m.group(1)) + '</h4>') + '\n\n', text)
            text = text.replace('\\end{pitfall}',
                                '\n\n' + self.hide('</aside>') + '\n\n')
            for name, title in (('exercises', 'Exercises'),
                                ('questions', 'Five questions')):
                text = text.replace(f'\\begin{{{name}}}',
                                    f'\\section*{{{title}}}\n\\begin{{enumerate}}')
                text = text.replace(f'\\end{{{name}}}', '\\end{enumerate}')
            text = re.sub(r'\\exercise\{(.*?)\}\{(.*?)\}',
                          r'\\item \\emph{[\1, grade \2]} ', text)
            text = text.replace('\\begin{realworld}', '\\section*{Real world}')
            text = text.replace('\\end{realworld}', '')
            text = re.sub(r'\\(small|centering|noindent|footnotesize)\b', '', text)
            text = re.sub(r'\\(endhead|endfoot|toprule|midrule|bottomrule)\b',
                          '', text) \
                if 'longtable' in text else text
            text = text.replace('\\begin{longtable}', '\\begin{tabular}')
            text = text.replace('\\end{longtable}', '\\end{tabular}')
            text = re.sub(r'@\{.*?\}', '', text)
            text = re.sub(r'[pm]\{[.\d]+(\\linewidth|mm|cm|em|pt)\}', 'l', text)
            out.append(text)
        return '\n'.join(out)

    def body(self, page):
        done = subprocess.run(
            ['pandoc', '--verbose', '-f', 'latex', '-t', 'html5', '--wrap=none'],
            input=MACROS + self.latex(page), text=True,
            capture_output=True, check=False)
        for line in done.stderr.split('\n'):
            if 'Skipped' in line or 'rror' in line:
                self.complaints.append(f'{page.file}: pandoc: {line}')
        text = done.stdout
        # Section numbers, as LaTeX counts them.
        numbers = iter(page.sections)

        def head(m):
            title = m.group(3)
            for number, _ in numbers:
                return f'<h2{m.group(2)}>' + (
                    f'<span class="no">{number}</span> ' if number else '') + \
                    title + '</h2>'
            return m.group(0)
        text = re.sub(r'<h([12])((?![^>]*unnumbered)[^>]*)>(.*?)</h\1>', head,
                      text)
        text = re.sub(r'<h1( [^>]*unnumbered[^>]*)>(.*?)</h1>',
                      r'<h2\1>\2</h2>', text)
        return self.show(text)

    # -- code
    def line(self, parts, file):
        out = []
        for kind, text in parts:
            if kind == 'use':
                first = self.book.chunks.get(text, [None])[0]
                if first is None:
                    continue
                out.append(self.link(first, '&#x27e8;' + self.plain(text)
                                     + '&#x27e9;', 'use'))
                continue
            inner = html.escape(text, quote=False)
            if kind in ('id', 'tag'):
                piece = self.index.where(
                    'struct ' * (kind == 'tag') + text, file)
                inner = self.link(piece, inner) if piece else inner
            elif kind:
                inner = f'<span class="{kind}">{inner}</span>'
            out.append(inner)
        return ''.join(out)

    def chunk(self, piece):
        defs = self.book.chunks[piece.name]
        i = defs.index(piece)
        links = []
        if i:
            links.append(self.link(defs[i - 1], '&larr; from', 'nav'))
        if i + 1 < len(defs):
            links.append(self.link(defs[i + 1], 'on &rarr;', 'nav'))
        users = self.book.users(piece.name)
        for user in users[:4]:
            links.append('in ' + self.link(
                user, '&#x27e8;' + self.plain(user.name) + '&#x27e9;', 'nav'))
        files = self.index.files.get(piece.name, [piece.name])
        code = '\n'.join(self.line(parts, files[0]) for parts in tokens(
            piece, files[0], self.index.defined_in(piece)))
        n = self.number[id(piece)]
        return (f'<div class="chunk" id="c{n}"><div class="name"><a '
                f'href="#c{n}">&#x27e8;{self.plain(piece.name)}&#x27e9;'
                f'{"+" if i else ""}&equiv;</a><span>{" &middot; ".join(links)}'
                f'</span></div><pre>{code}</pre></div>')

    # -- whole pages
    def toc(self, here):
        out = []
        for page in self.pages:
            cls = ' class="here"' if page is here else ''
            part = ' part' if page.kind == 'part' else ''
            out.append(f'<li class="{part.strip()}"><a{cls} href="{page.file}">'
                       f'{self.plain(page.heading)}</a></li>')
        for name, title in (('chunks.html', 'Index of chunks'),
                            ('identifiers.html', 'Index of identifiers')):
            out.append(f'<li><a href="{name}">{title}</a></li>')
        return '<ol class="pages">' + ''.join(out) + '</ol>'

    def write(self, file, title, body, page=None):
        around = ''
        if page:
            i = self.pages.index(page)
            around = '<nav class="around">' + (
                f'<a href="{self.pages[i - 1].file}">&larr; '
                f'{self.plain(self.pages[i - 1].heading)}</a>' if i else
                '<span></span>') + (
                f'<a href="{self.pages[i + 1].file}">'
                f'{self.plain(self.pages[i + 1].heading)} &rarr;</a>'
                if i + 1 < len(self.pages) else '') + '</nav>'
        with open(os.path.join(self.out, file), 'w', encoding='utf-8') as f:
            f.write('<!doctype html>\n<html lang="en"><head><meta '
                    'charset="utf-8"><meta name="viewport" content="width='
                    'device-width, initial-scale=1">'
                    f'<title>{html.escape(re.sub("<.*?>", "", title))} - lguest'
                    '</title><link rel="stylesheet" href="book.css"></head>'
                    '<body><header><a href="index.html">lguest</a><input '
                    'id="search" type="search" placeholder="Search names and '
                    'sections" aria-label="Search"><ul id="found"></ul>'
                    f'</header><div class="frame"><nav class="toc">'
                    f'{self.toc(page)}</nav><main><h1>{title}</h1>{body}'
                    f'{around}</main></div><script src="search.js"></script>'
                    '<script src="book.js"></script></body></html>\n')

    def indexes(self):
        rows = []
        for name in sorted(self.book.chunks, key=lambda s: re.sub(
                r'\W', '', s).lower()):
            first = self.book.chunks[name][0]
            rows.append('<li>' + self.link(
                first, '&#x27e8;' + self.plain(name) + '&#x27e9;', 'use')
                + '</li>')
        self.write('chunks.html', 'Index of chunks',
                   '<ul class="index">' + ''.join(rows) + '</ul>')
        rows = []
        for name in sorted(self.index.idents, key=str.lower):
            rows.append(f'<li><code>{name}</code> ' + ', '.join(
                self.link(p, self.plain(p.name), 'use')
                for p in self.index.idents[name]) + '</li>')
        self.write('identifiers.html', 'Index of identifiers',
                   '<ul class="index">' + ''.join(rows) + '</ul>')

    def search(self):
        found = []
        for page in self.pages:
            found.append([re.sub('<.*?>', '', self.plain(page.heading)),
                          page.file])
        for p in self.code:
            if self.book.chunks[p.name][0] is p:
                found.append([re.sub(r'\[\[|\]\]', '', p.name),
                              f'{self.file_of[id(p)]}#c{self.number[id(p)]}'])
        for name, pieces in self.index.idents.items():
            p = pieces[0]
            found.append([name,
                          f'{self.file_of[id(p)]}#c{self.number[id(p)]}'])
        chunks = {f'c{self.number[id(p)]}': self.chunk(p) for p in self.code}
        with open(os.path.join(self.out, 'search.js'), 'w',
                  encoding='utf-8') as f:
            f.write('const FOUND = ' + json.dumps(found) + ';\n')
            f.write('const CHUNKS = ' + json.dumps(chunks) + ';\n')

    def all(self):
        os.makedirs(self.out, exist_ok=True)
        for page in self.pages:
            body = ''
            if page.kind == 'part':
                with open(os.path.join(self.here, 'lgfigures.sty'),
                          encoding='utf-8') as f:
                    lit = re.search(r'lg@here@' + page.number +
                                    r'\\endcsname\{(.*?)\}', f.read())
                body = '<figure><div class="picture">' + self.svg(
                    '\\lgmap{%s}' % (lit.group(1) if lit else 'switcher')) + \
                    '</div></figure>'
            body += self.body(page)
            self.write(page.file, self.plain(page.heading), body, page)
        self.indexes()
        self.search()
        for name in ('book.css', 'book.js'):
            shutil.copy(os.path.join(self.here, name), self.out)
        self.write('index.html', 'lguest: a hypervisor you can read',
                   '<p>This book is the program: every line of the module and '
                   'of the launcher is in it.</p><figure><div class="picture">'
                   + self.svg('\\lgmap{switcher}') + '</div></figure>'
                   + self.toc(None))
        print(f'  HTML    {self.out}/index.html, {len(self.pages)} pages')
        return self.complaints


def weave(book, index, runs, directory):
    return Edition(book, index, runs, directory).all()
