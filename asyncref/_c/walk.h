/* Where the values of a flat list of elements lie in its bytes, and what they are.

   Answers for the plain form only; what is unusual is given up.

   Most pages are lean: every value of every row is of its usual form, so that nobody will ask where they lie. A page is
   taken for such a one first, and read again with its offsets as soon as it turns out to be none. */

#define MOST_TAGS 64   /* different opening tags of a page */
#define MOST_DEPTH 16  /* elements within elements */
#define MOST_NAMES 16  /* names of entries; columns */
#define NO_TAG (-1)
#define MOST_RUNS 32   /* pieces of tags in an entry that is taken for a pattern */

typedef struct {
    const char *bytes;
    Py_ssize_t length;
} Name;

/* An opening tag, by its first occurrence: the same bytes mean the same wherever they come again. */
typedef struct {
    const char *at;    /* its `<` */
    Py_ssize_t length; /* up to and with its `>` */
    Py_ssize_t name;   /* length of the name behind the `<` */
    int kind;          /* the entry that it opens, or -1 */
    int column;        /* the column whose value it opens, or -1 */
    int empty;         /* `<a/>` */
    int next;          /* the tag that last came behind it: a guess that is nearly always right */
} Tag;

/* Tags of an entry that follow each other without text, and the column whose value comes behind them, or -1. */
typedef struct {
    const char *at;
    Py_ssize_t length;
    int column;
    Value value; /* the last one behind them */
} Run;

typedef struct {
    const char *end; /* of the entries; nothing is read from here on */
    Name kinds[MOST_NAMES], columns[MOST_NAMES];
    int kind_count, column_count;
    Tag tags[MOST_TAGS];
    int tag_count;
    Run runs[MOST_RUNS]; /* the last entry that was read tag by tag: most others have the same tags */
    int run_count, run_kind;
    int lean;    /* no offsets are kept but those of the last row */
    int spoilt;  /* the page is not lean, though it was taken for it */
    /* Rows so far: `cells` holds start and end of every column, row by row. */
    int64_t *cells;
    int8_t *row_kinds;
    Py_ssize_t rows, room, filled[MOST_NAMES]; /* filled: rows that have a value in that column */
    Ready ready[MOST_NAMES]; /* the columns' values */
} Scan;

static int
index_of(const Name *names, int count, const char *at, Py_ssize_t length)
{
    for (int i = 0; i < count; i++) {
        if (names[i].length == length && memcmp(names[i].bytes, at, (size_t)length) == 0) {
            return i;
        }
    }
    return -1;
}

/* Reads the opening tag at `at`, a `<`. False for whatever is none: comments, CDATA, prefixes, `<` in attributes. */
static int
read_tag(const Scan *scan, const char *at, Tag *tag)
{
    const char *p = at + 1;
    if (p >= scan->end || !is_letter(*p)) {
        return 0;
    }
    while (p < scan->end && (is_letter(*p) || is_digit(*p))) {
        p++;
    }
    Py_ssize_t name = p - at - 1;
    if (p < scan->end && is_space(*p)) {
        char quote = 0;
        for (; p < scan->end && *p != '<' && (quote || *p != '>'); p++) {
            if (quote ? *p == quote : *p == '"' || *p == '\'') {
                quote = quote ? 0 : *p;
            }
            else if (*p == '>') {
                return 0; /* XML allows it within quotes; nobody sends it */
            }
        }
        p -= !quote && p < scan->end && p[-1] == '/';
    }
    int empty = p < scan->end && *p == '/';
    p += empty;
    if (p >= scan->end || *p != '>') {
        return 0;
    }
    int kind = index_of(scan->kinds, scan->kind_count, at + 1, name);
    int column = index_of(scan->columns, scan->column_count, at + 1, name);
    *tag = (Tag){at, p + 1 - at, name, kind, column, empty, 0};
    return 1;
}

static int
is_tag(const Scan *scan, const Tag *tag, const char *at)
{
    return tag->length <= scan->end - at && memcmp(at, tag->at, (size_t)tag->length) == 0;
}

/* The number of the opening tag at `at`; `before` is the one before it. NO_TAG: none, or too many kinds. */
static int
find_tag(Scan *scan, const char *at, int before)
{
    if (before != NO_TAG && is_tag(scan, &scan->tags[scan->tags[before].next], at)) {
        return scan->tags[before].next;
    }
    int found = 0;
    while (found < scan->tag_count && !is_tag(scan, &scan->tags[found], at)) {
        found++;
    }
    if (found == scan->tag_count) {
        if (found == MOST_TAGS || !read_tag(scan, at, &scan->tags[found])) {
            return NO_TAG;
        }
        scan->tag_count++;
    }
    if (before != NO_TAG) {
        scan->tags[before].next = found;
    }
    return found;
}

/* Where the closing tag of `tag` at `at`, a `<`, ends. NULL: it is another one. */
static const char *
closed(const Scan *scan, const Tag *tag, const char *at)
{
    if (tag->name + 3 > scan->end - at || memcmp(at + 2, tag->at + 1, (size_t)tag->name) != 0) {
        return NULL;
    }
    const char *p = at + 2 + tag->name;
    while (p < scan->end && is_space(*p)) {
        p++;
    }
    return p < scan->end && *p == '>' ? p + 1 : NULL;
}

/* Start and end of every column in the last row. */
static int64_t *
last_cells(const Scan *scan)
{
    return scan->cells + (scan->lean ? 0 : 2 * (scan->rows - 1) * scan->column_count);
}

/* One more row of which nothing is known. False: no memory, or the page is not lean. */
static int
open_row(Scan *scan, int kind)
{
    if (scan->lean && kind != 0) {
        scan->spoilt = 1;
        return 0;
    }
    if (scan->rows == scan->room) {
        size_t width = 2 * (size_t)scan->column_count;
        Py_ssize_t room = scan->room ? 2 * scan->room : 1024; /* a row is at least 7 bytes of the body */
        size_t kept = scan->lean ? 1 : (size_t)room;
        int64_t *cells = PyMem_Realloc(scan->cells, kept * width * sizeof(int64_t));
        if (cells != NULL) {
            scan->cells = cells;
        }
        int8_t *kinds = PyMem_Realloc(scan->row_kinds, (size_t)room);
        if (kinds != NULL) {
            scan->row_kinds = kinds;
        }
        if (cells == NULL || kinds == NULL) {
            PyErr_NoMemory();
            return 0;
        }
        scan->room = room;
    }
    scan->row_kinds[scan->rows++] = (int8_t)kind;
    return 1;
}

/* One more row without values. False as `open_row` is. */
static int
add_row(Scan *scan, int kind)
{
    if (!open_row(scan, kind)) {
        return 0;
    }
    memset(last_cells(scan), 0xff, 2 * (size_t)scan->column_count * sizeof(int64_t)); /* all -1 */
    return 1;
}

/* Converts the values of the last row, now that it is whole. False: no memory. */
static int
convert_row(Scan *scan, const char *body)
{
    Py_ssize_t row = scan->rows - 1;
    const int64_t *cells = last_cells(scan);
    for (int c = 0; c < scan->column_count; c++) {
        Ready *ready = &scan->ready[c];
        ready->good = ready->good && cells[2 * c] >= 0;
        if (ready->good) {
            Value value = {body + cells[2 * c], (Py_ssize_t)(cells[2 * c + 1] - cells[2 * c])};
            if (!add_value(ready, row, value)) {
                return 0;
            }
        }
    }
    return 1;
}

/* Bits where eight bytes differ. */
static uint64_t
differing(const char *one, const char *other)
{
    uint64_t left, right;
    memcpy(&left, one, sizeof left);
    memcpy(&right, other, sizeof right);
    return left ^ right;
}

/* Whether two stretches are the same. Most are of 8 to 32 bytes, so that a call of memcmp, or a loop, would take longer than
   its work; some bytes are looked at twice. */
static int
same(const char *one, const char *other, Py_ssize_t length)
{
    if (length < 8) {
        return memcmp(one, other, (size_t)length) == 0;
    }
    uint64_t differ = differing(one, other) | differing(one + length - 8, other + length - 8);
    if (length > 16) {
        differ |= differing(one + 8, other + 8) | differing(one + length - 16, other + length - 16);
    }
    for (Py_ssize_t at = 16; at < length - 16; at += 8) {
        differ |= differing(one + at, other + at);
    }
    return differ == 0;
}

/* Takes the row's entry, read tag by tag and ending at `end`, for the pattern of those that follow. */
static void
learn_runs(Scan *scan, const char *body, const char *start, const char *end)
{
    const int64_t *cells = last_cells(scan);
    const char *p = start;
    scan->run_count = 0;
    for (int run = 0; run < MOST_RUNS; run++) {
        const char *first = p;
        do { /* a tag has no `>` but at its end: `read_tag` saw to that */
            const char *close = memchr(p, '>', (size_t)(end - p));
            if (close == NULL) {
                return;
            }
            p = close + 1;
        } while (p < end && *p == '<');
        scan->runs[run] = (Run){first, p - first, -1, {p, 0}};
        if (p == end) {
            scan->run_count = run + 1;
            scan->run_kind = scan->row_kinds[scan->rows - 1];
            break;
        }
        for (int c = 0; c < scan->column_count; c++) {
            if (cells[2 * c] == p - body) {
                scan->runs[run].column = c;
            }
        }
        p = memchr(p, '<', (size_t)(end - p));
        if (p == NULL) {
            return;
        }
        scan->runs[run].value.length = p - scan->runs[run].value.at;
    }
    for (int c = 0; c < scan->column_count; c++) {
        if (cells[2 * c] >= 0 && cells[2 * c] == cells[2 * c + 1]) {
            scan->run_count = 0; /* an empty value: it may lie within a run, where another entry's would not be seen */
        }
    }
}

/* Where the value at `p` behind a run ends, a `<`; NULL: nowhere. On a lean page a guess, that `convert_lean` proves. */
static const char *
end_of_value(const Scan *scan, const Run *run, const char *p)
{
    char form = run->column < 0 ? 0 : scan->ready[run->column].form;
    const char *guess = p;
    if (!scan->lean || is_text(form)) {
        guess = scan->end;
    }
    else if (form == 'i') {
        while (guess < scan->end && is_digit(*guess)) {
            guess++;
        }
    }
    else if (run->value.length < scan->end - p && (form || same(p, run->value.at, run->value.length))) {
        guess += run->value.length;
    }
    return guess < scan->end && *guess == '<' ? guess : memchr(p, '<', (size_t)(scan->end - p));
}

/* Converts the values of the last row of a lean page. Those that are no text hold no `<` then, if they are of their usual
   form, or are the same as one that holds none. False: no memory, or the page is not lean. */
static int
convert_lean(Scan *scan)
{
    Py_ssize_t row = scan->rows - 1;
    for (int i = 0; i + 1 < scan->run_count; i++) {
        int column = scan->runs[i].column;
        if (column >= 0) {
            Ready *ready = &scan->ready[column];
            if (!ready->good || !add_value(ready, row, scan->runs[i].value) || !is_usual(ready, row)) {
                scan->spoilt = 1;
                return 0;
            }
            scan->filled[column]++;
        }
    }
    return 1;
}

/* The same for any page, with the offsets. False: no memory. */
static int
convert_exact(Scan *scan, const char *body)
{
    int64_t *cells = last_cells(scan);
    memset(cells, 0xff, 2 * (size_t)scan->column_count * sizeof *cells); /* all -1 */
    for (int i = 0; i + 1 < scan->run_count; i++) {
        int column = scan->runs[i].column;
        if (column >= 0) {
            cells[2 * column] = scan->runs[i].value.at - body;
            cells[2 * column + 1] = cells[2 * column] + scan->runs[i].value.length;
            scan->filled[column]++;
        }
    }
    return convert_row(scan, body);
}

/* Reads one more entry of the pattern. Where it ends; NULL: it is none, the page is not lean, or (with an exception set) no
   memory. */
static const char *
follow_runs(Scan *scan, const char *body, const char *p)
{
    for (int i = 0; i < scan->run_count; i++) {
        Run *run = &scan->runs[i];
        if (run->length > scan->end - p || !same(p, run->at, run->length)) {
            return NULL;
        }
        p += run->length;
        if (i + 1 < scan->run_count) {
            const char *end = end_of_value(scan, run, p);
            if (end == NULL) {
                return NULL;
            }
            run->value = (Value){p, end - p};
            p = end;
        }
    }
    if (!scan->run_count || !open_row(scan, scan->run_kind)) {
        return NULL;
    }
    return (scan->lean ? convert_lean(scan) : convert_exact(scan, body)) ? p : NULL;
}

/* Reads all entries. True: done; false: something unusual, or the page is not lean, or (with an exception set) no memory. */
static int
walk(Scan *scan, const char *body, const char *first)
{
    int open[MOST_DEPTH]; /* the tags that are open, outermost first */
    int depth = 0, before = NO_TAG, leaf = 0; /* leaf: nothing but text since the last opening tag */
    const char *value = first, *p = first, *entry = first;
    while (p < scan->end && (*p == '<' || (p = memchr(p, '<', (size_t)(scan->end - p))) != NULL)) {
        if (scan->end - p < 2) {
            return 0;
        }
        if (p[1] == '/') {
            const Tag *tag = depth ? &scan->tags[open[--depth]] : NULL;
            const char *after = tag ? closed(scan, tag, p) : NULL;
            if (after == NULL) {
                return 0;
            }
            if (leaf && depth == 1 && tag->column >= 0) {
                int64_t *cell = last_cells(scan) + 2 * tag->column;
                if (cell[0] >= 0) {
                    return 0; /* twice in one entry */
                }
                cell[0] = value - body;
                cell[1] = p - body;
                scan->filled[tag->column]++;
            }
            leaf = 0;
            p = after;
            if (depth == 0) {
                if (!convert_row(scan, body)) {
                    return 0;
                }
                learn_runs(scan, body, entry, p);
                for (const char *next = p; next != NULL; next = follow_runs(scan, body, next)) {
                    p = next;
                }
                if (scan->spoilt || PyErr_Occurred()) {
                    return 0;
                }
            }
            continue;
        }
        before = find_tag(scan, p, before);
        if (before == NO_TAG) {
            return 0;
        }
        const Tag *tag = &scan->tags[before];
        if (depth == 0) {
            entry = p;
        }
        p += tag->length;
        if (depth == 0) {
            if (tag->kind < 0 || tag->length != tag->name + 2 || !add_row(scan, tag->kind)) {
                return 0; /* no entry, or one with attributes */
            }
        }
        else if (tag->kind >= 0) {
            return 0; /* an entry within an entry */
        }
        leaf = !tag->empty;
        if (leaf) {
            if (depth == MOST_DEPTH) {
                return 0;
            }
            open[depth++] = before;
            value = p;
        }
    }
    return depth == 0;
}

