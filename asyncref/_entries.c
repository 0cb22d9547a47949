/* The hot loops of a listing's page: where its entries' values lie, and those values as Arrow's buffers.

   An optional extension: asyncref/backends/s3/{shape,columns}.py do the same with numpy where it is missing, and
   define what is right. A function here answers only for input of the usual form and returns None for all else,
   upon which the caller goes on with the numpy way. So nothing here has to know every oddity of XML or of times.

   Rules of this file: the bytes are untrusted, so nothing is read outside of the body; no state is kept between calls;
   the GIL stays held, since a call takes a tenth of a millisecond and the buffers must not change in the meantime. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000 /* 3.11, the first with the buffer protocol */
#include <Python.h>

#include <stdint.h>
#include <string.h>

#define MOST_TAGS 64   /* different opening tags of a page */
#define MOST_DEPTH 16  /* elements within elements */
#define MOST_NAMES 16  /* names of entries; columns */
#define NO_TAG (-1)

/* ---- entries: where the values lie ---- */

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

typedef struct {
    const char *end; /* of the entries; nothing is read from here on */
    Name kinds[MOST_NAMES], columns[MOST_NAMES];
    int kind_count, column_count;
    Tag tags[MOST_TAGS];
    int tag_count;
    /* Rows so far: `cells` holds start and end of every column, row by row. */
    int64_t *cells;
    int8_t *row_kinds;
    Py_ssize_t rows, room, filled[MOST_NAMES]; /* filled: rows that have a value in that column */
} Scan;

static int
is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

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

/* One more row without values. False: no memory. */
static int
add_row(Scan *scan, int kind)
{
    size_t width = 2 * (size_t)scan->column_count;
    if (scan->rows == scan->room) {
        Py_ssize_t room = scan->room ? 2 * scan->room : 1024; /* a row is at least 7 bytes of the body */
        int64_t *cells = PyMem_Realloc(scan->cells, (size_t)room * width * sizeof(int64_t));
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
    memset(scan->cells + (size_t)scan->rows * width, 0xff, width * sizeof(int64_t)); /* all -1 */
    scan->row_kinds[scan->rows++] = (int8_t)kind;
    return 1;
}

/* Reads all entries. True: done; false: something unusual, or (with an exception set) no memory. */
static int
walk(Scan *scan, const char *body, const char *first)
{
    int open[MOST_DEPTH]; /* the tags that are open, outermost first */
    int depth = 0, before = NO_TAG, leaf = 0; /* leaf: nothing but text since the last opening tag */
    const char *value = first, *p = first;
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
                int64_t *cell = scan->cells + 2 * ((scan->rows - 1) * scan->column_count + tag->column);
                if (cell[0] >= 0) {
                    return 0; /* twice in one entry */
                }
                cell[0] = value - body;
                cell[1] = p - body;
                scan->filled[tag->column]++;
            }
            leaf = 0;
            p = after;
            continue;
        }
        before = find_tag(scan, p, before);
        if (before == NO_TAG) {
            return 0;
        }
        const Tag *tag = &scan->tags[before];
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

/* Fills `names` from a tuple of bytes. The count, or -1 with an exception set. */
static int
read_names(PyObject *tuple, Name *names)
{
    Py_ssize_t count = PyTuple_Size(tuple);
    if (count < 1 || count > MOST_NAMES) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_ValueError, "between 1 and %d names", MOST_NAMES);
        }
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        char *bytes;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(tuple, i), &bytes, &names[i].length) < 0) {
            return -1;
        }
        names[i].bytes = bytes;
    }
    return (int)count;
}

/* (rows, kinds, ((starts, ends, filled), ...)) of a finished scan. */
static PyObject *
as_columns(const Scan *scan)
{
    PyObject *columns = PyTuple_New(scan->column_count);
    if (columns == NULL) {
        return NULL;
    }
    Py_ssize_t size = scan->rows * (Py_ssize_t)sizeof(int64_t), step = 2 * scan->column_count;
    for (int c = 0; c < scan->column_count; c++) {
        PyObject *pair[2];
        for (int side = 0; side < 2; side++) {
            pair[side] = PyBytes_FromStringAndSize(NULL, size);
            if (pair[side] != NULL) {
                int64_t *out = (int64_t *)PyBytes_AsString(pair[side]);
                const int64_t *in = scan->cells + 2 * c + side;
                for (Py_ssize_t row = 0; row < scan->rows; row++) {
                    memcpy(out + row, in + row * step, sizeof(int64_t));
                }
            }
        }
        /* "N" hands the references over; it fails, and frees them, where one is NULL. */
        PyObject *column = Py_BuildValue("(NNn)", pair[0], pair[1], scan->filled[c]);
        if (column == NULL || PyTuple_SetItem(columns, c, column) < 0) {
            Py_DECREF(columns);
            return NULL;
        }
    }
    return Py_BuildValue("ny#N", scan->rows, (const char *)scan->row_kinds, scan->rows, columns);
}

PyDoc_STRVAR(entries_doc,
             "entries(body, first, end, names, columns)\n--\n\n"
             "Where the values of a flat list of elements lie.\n\n"
             "`<Name>`...`</Name>` follow each other in body[first:end], with elements inside. Of those directly inside\n"
             "that hold nothing but text and are called as one of `columns`, the offsets are found.\n\n"
             "Returns (rows, kinds, ((starts, ends, filled), ...)): kinds are int8 indices into `names`, starts and ends\n"
             "int64, -1 where a row has no such element; filled counts the others. None for whatever is not of this plain form.");

static PyObject *
entries(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *body, *names, *columns, *result = NULL;
    Py_ssize_t first, end;
    if (!PyArg_ParseTuple(args, "SnnO!O!", &body, &first, &end, &PyTuple_Type, &names, &PyTuple_Type, &columns)) {
        return NULL;
    }
    Scan scan;
    scan.cells = NULL;
    scan.row_kinds = NULL;
    scan.rows = scan.room = scan.tag_count = 0;
    memset(scan.filled, 0, sizeof scan.filled);
    scan.kind_count = read_names(names, scan.kinds);
    scan.column_count = scan.kind_count < 0 ? -1 : read_names(columns, scan.columns);
    if (scan.column_count < 0) {
        return NULL;
    }
    if (first < 0 || end < first || end > PyBytes_Size(body)) {
        PyErr_SetString(PyExc_ValueError, "outside of the body");
        return NULL;
    }
    const char *bytes = PyBytes_AsString(body);
    scan.end = bytes + end;
    if (walk(&scan, bytes, bytes + first)) {
        result = as_columns(&scan);
    }
    else if (!PyErr_Occurred()) {
        result = Py_NewRef(Py_None);
    }
    PyMem_Free(scan.cells);
    PyMem_Free(scan.row_kinds);
    return result;
}

/* ---- columns: values at known offsets as Arrow's buffers ---- */

/* Values of a body: row i is body[starts[i]:ends[i]], and empty where its start is -1. */
typedef struct {
    const char *body;
    Py_ssize_t length, rows, total; /* total: bytes of all values */
    Py_buffer starts, ends;
} Values;

typedef struct {
    const char *at;
    Py_ssize_t length;
} Value;

static int64_t
item(const Py_buffer *buffer, Py_ssize_t i)
{
    int64_t found;
    memcpy(&found, (const char *)buffer->buf + i * (Py_ssize_t)sizeof found, sizeof found); /* may be unaligned */
    return found;
}

static Value
value_of(const Values *values, Py_ssize_t row)
{
    int64_t start = item(&values->starts, row);
    if (start < 0) {
        return (Value){values->body, 0};
    }
    return (Value){values->body + start, (Py_ssize_t)(item(&values->ends, row) - start)};
}

static void
release(Values *values)
{
    PyBuffer_Release(&values->starts);
    PyBuffer_Release(&values->ends);
}

/* Takes (body, starts, ends) and checks every offset, once, for all that follows. False with an exception set. */
static int
take(PyObject *args, Values *values)
{
    PyObject *body;
    if (!PyArg_ParseTuple(args, "Sy*y*", &body, &values->starts, &values->ends)) {
        return 0;
    }
    values->body = PyBytes_AsString(body);
    values->length = PyBytes_Size(body);
    values->rows = values->starts.len / (Py_ssize_t)sizeof(int64_t);
    values->total = 0;
    int good = values->starts.len == values->ends.len && values->starts.len % (Py_ssize_t)sizeof(int64_t) == 0;
    for (Py_ssize_t row = 0; good && row < values->rows; row++) {
        int64_t start = item(&values->starts, row), end = item(&values->ends, row);
        good = start == -1 || (start >= 0 && start <= end && end <= values->length);
        Py_ssize_t length = start < 0 || !good ? 0 : (Py_ssize_t)(end - start);
        good = good && values->total <= PY_SSIZE_T_MAX - length;
        values->total += good ? length : 0;
    }
    if (!good) {
        release(values);
        PyErr_SetString(PyExc_ValueError, "offsets that do not fit the body or each other");
    }
    return good;
}

/* Turns one value into an item of the result; false if it is of no usual form. */
typedef int (*Convert)(Value value, char *out);

/* A buffer of one item of `width` bytes a row, or None. */
static PyObject *
convert_all(PyObject *args, Py_ssize_t width, Convert convert)
{
    Values values;
    if (!take(args, &values)) {
        return NULL;
    }
    PyObject *result = PyBytes_FromStringAndSize(NULL, values.rows * width);
    if (result != NULL) {
        char *out = PyBytes_AsString(result);
        for (Py_ssize_t row = 0; row < values.rows; row++) {
            if (!convert(value_of(&values, row), out + row * width)) {
                Py_DECREF(result);
                result = Py_NewRef(Py_None);
                break;
            }
        }
    }
    release(&values);
    return result;
}

static int
integer(Value value, char *out)
{
    if (value.length < 1 || value.length > 18) { /* 18 digits always fit; longer ones are left to Arrow */
        return 0;
    }
    int64_t number = 0;
    for (Py_ssize_t i = 0; i < value.length; i++) {
        if (!is_digit(value.at[i])) {
            return 0;
        }
        number = 10 * number + (value.at[i] - '0');
    }
    memcpy(out, &number, sizeof number);
    return 1;
}

static int
flag(Value value, char *out)
{
    *out = value.length == 4 && memcmp(value.at, "true", 4) == 0;
    return *out || (value.length == 5 && memcmp(value.at, "false", 5) == 0);
}

/* The number of `count` digits; -1 if they are none. */
static int
digits(const char *at, int count)
{
    int number = 0;
    for (int i = 0; i < count; i++) {
        if (!is_digit(at[i])) {
            return -1;
        }
        number = 10 * number + (at[i] - '0');
    }
    return number;
}

/* Days from 1970-01-01 in the proleptic Gregorian calendar (years of 400, as in H. Hinnant's chrono algorithms). */
static int64_t
days(int year, int month, int day)
{
    year -= month <= 2; /* a year starts in March here, so that the leap day is its last */
    int era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int
moment(Value value, char *out)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *t = value.at; /* 2024-05-06T07:08:09.000Z, or without milliseconds */
    int exact = value.length == 24;
    if ((!exact && value.length != 20) || t[4] != '-' || t[7] != '-' || t[10] != 'T' || t[13] != ':' || t[16] != ':' ||
        t[value.length - 1] != 'Z' || (exact && t[19] != '.')) {
        return 0;
    }
    int year = digits(t, 4), month = digits(t + 5, 2), day = digits(t + 8, 2);
    int hour = digits(t + 11, 2), minute = digits(t + 14, 2), second = digits(t + 17, 2);
    int millis = exact ? digits(t + 20, 3) : 0;
    if (year < 1 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
        second < 0 || second > 59 || millis < 0) {
        return 0;
    }
    int leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > lengths[month - 1] + leap) {
        return 0;
    }
    int64_t seconds = days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    int64_t micros = seconds * 1000000 + millis * 1000;
    memcpy(out, &micros, sizeof micros);
    return 1;
}

/* A lower-case hex digit's worth; a negative number for anything else. */
static const int8_t nibbles[256] = {
#define NONE4 -1, -1, -1, -1
#define NONE16 NONE4, NONE4, NONE4, NONE4
    NONE16, NONE16, NONE16, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1, -1, NONE4, NONE16, NONE16,
    -1, 10, 11, 12, 13, 14, 15, -1, NONE4, NONE4, NONE16, NONE16, NONE16, NONE16, NONE16, NONE16, NONE16, NONE16, NONE16,
};

/* The 16 bytes of 32 lower-case hex digits between two quotes, in any form that quotes have in XML. */
static int
plain_etag(Value value, char *out)
{
    Py_ssize_t width = (value.length - 32) / 2;
    const char *quote = value.length == 44 ? "&quot;" : value.length == 42 ? "&#34;" : value.length == 34 ? "\"" : NULL;
    if (quote == NULL || memcmp(value.at, quote, (size_t)width) != 0 ||
        memcmp(value.at + width + 32, quote, (size_t)width) != 0) {
        return 0;
    }
    const unsigned char *hex = (const unsigned char *)value.at + width;
    int all = 0;
    for (int i = 0; i < 16; i++) {
        int high = nibbles[hex[2 * i]], low = nibbles[hex[2 * i + 1]];
        all |= high | low;
        out[i] = (char)((high & 15) << 4 | (low & 15));
    }
    return all >= 0;
}

PyDoc_STRVAR(integers_doc, "integers(body, starts, ends)\n--\n\n"
                           "Decimal numbers of up to 18 digits as int64; None if a value is anything else.");

static PyObject *
integers(PyObject *Py_UNUSED(module), PyObject *args)
{
    return convert_all(args, sizeof(int64_t), integer);
}

PyDoc_STRVAR(flags_doc, "flags(body, starts, ends)\n--\n\n"
                        "`true` and `false` as bytes 1 and 0; None if a value is anything else.");

static PyObject *
flags(PyObject *Py_UNUSED(module), PyObject *args)
{
    return convert_all(args, 1, flag);
}

PyDoc_STRVAR(moments_doc, "moments(body, starts, ends)\n--\n\n"
                          "`2024-05-06T07:08:09.000Z`, milliseconds or none, as int64 microseconds; else None.");

static PyObject *
moments(PyObject *Py_UNUSED(module), PyObject *args)
{
    return convert_all(args, sizeof(int64_t), moment);
}

PyDoc_STRVAR(etags_doc, "etags(body, starts, ends)\n--\n\n"
                        "ETags of 32 lower-case hex digits between `&quot;`, `&#34;` or `\"` as 16 bytes each.\n\n"
                        "Returns (raw, plain, count): 16 zeros and a plain of 0 where an ETag is another; count of the 1s.");

static PyObject *
etags(PyObject *Py_UNUSED(module), PyObject *args)
{
    Values values;
    if (!take(args, &values)) {
        return NULL;
    }
    Py_ssize_t count = 0;
    PyObject *raw = PyBytes_FromStringAndSize(NULL, values.rows * 16);
    PyObject *plain = PyBytes_FromStringAndSize(NULL, values.rows);
    if (raw != NULL && plain != NULL) {
        char *out = PyBytes_AsString(raw), *mask = PyBytes_AsString(plain);
        for (Py_ssize_t row = 0; row < values.rows; row++) {
            mask[row] = (char)plain_etag(value_of(&values, row), out + 16 * row);
            count += mask[row];
            if (!mask[row]) {
                memset(out + 16 * row, 0, 16);
            }
        }
    }
    release(&values);
    return Py_BuildValue("NNn", raw, plain, count); /* fails, and frees, where one is NULL */
}

PyDoc_STRVAR(texts_doc, "texts(body, starts, ends)\n--\n\n"
                        "All values one after the other, and the int32 offsets between them, as Arrow has strings.");

static PyObject *
texts(PyObject *Py_UNUSED(module), PyObject *args)
{
    Values values;
    if (!take(args, &values)) {
        return NULL;
    }
    if (values.total > INT32_MAX || values.rows >= INT32_MAX) {
        release(&values);
        PyErr_SetString(PyExc_OverflowError, "more than 2 GB of text");
        return NULL;
    }
    PyObject *data = PyBytes_FromStringAndSize(NULL, values.total);
    PyObject *offsets = PyBytes_FromStringAndSize(NULL, (values.rows + 1) * (Py_ssize_t)sizeof(int32_t));
    if (data != NULL && offsets != NULL) {
        char *start = PyBytes_AsString(data), *out = start, *ends = PyBytes_AsString(offsets);
        memset(ends, 0, sizeof(int32_t));
        for (Py_ssize_t row = 0; row < values.rows; row++) {
            Value value = value_of(&values, row);
            memcpy(out, value.at, (size_t)value.length);
            out += value.length;
            int32_t end = (int32_t)(out - start);
            memcpy(ends + (row + 1) * (Py_ssize_t)sizeof end, &end, sizeof end);
        }
    }
    release(&values);
    return Py_BuildValue("NN", data, offsets);
}

static PyMethodDef methods[] = {
    {"entries", entries, METH_VARARGS, entries_doc},
    {"integers", integers, METH_VARARGS, integers_doc},
    {"flags", flags, METH_VARARGS, flags_doc},
    {"moments", moments, METH_VARARGS, moments_doc},
    {"etags", etags, METH_VARARGS, etags_doc},
    {"texts", texts, METH_VARARGS, texts_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "asyncref._entries",
    .m_doc = "The hot loops of a listing's page; see asyncref/backends/s3/shape.py.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__entries(void)
{
    return PyModuleDef_Init(&definition);
}
