/* The hot loops of a listing: where the values of a page's entries lie, those values as Arrow's buffers, and what is
   asked of columns of text; and a folder of a local disk.

   An optional extension: asyncref/backends/s3/{shape,columns}.py, backends/gcs/spans.py, backends/file/{local,named}.py,
   engine/scan/paths.py, texts.py and manifest/digest.py do the same without it, and define what is right. What reads a page answers only for input of the usual form and
   returns None for all else, upon which the caller goes on in the other way. So nothing here has to know every oddity
   of XML or of times.

   Rules of this file: the bytes are untrusted, so nothing is read outside of the body; no state is kept between calls;
   the GIL stays held, since a call takes a tenth of a millisecond and the buffers must not change in the meantime. A
   folder is read without it, and files are named. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000 /* 3.11, the first with the buffer protocol */
#include <Python.h>

#include <stdint.h>
#include <string.h>

#include "_c/values.h"
#include "_c/ready.h"
#include "_c/walk.h"
#include "_c/strings.h"
#include "_c/md5.h"
#include "_c/folder.h"
#include "_c/small.h"
#include "_c/items.h"

/* ---- a page ---- */

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

/* The offsets of one side of a column, 0 its start and 1 its end; -1 where a row has no such value. */
static PyObject *
side_of(const Scan *scan, int column, int side)
{
    PyObject *found = PyBytes_FromStringAndSize(NULL, scan->rows * (Py_ssize_t)sizeof(int64_t));
    if (found != NULL) {
        char *out = PyBytes_AsString(found);
        for (Py_ssize_t row = 0; row < scan->rows; row++) {
            const int64_t *cell = scan->cells + 2 * (row * scan->column_count + column) + side;
            memcpy(out + row * (Py_ssize_t)sizeof *cell, cell, sizeof *cell);
        }
    }
    return found;
}

/* Whether every row is of the first kind, and has every flag set: whether nobody will ask for some of the rows. */
static int
are_alike(const Scan *scan)
{
    for (Py_ssize_t row = 0; row < scan->rows; row++) {
        if (scan->row_kinds[row] != 0) {
            return 0;
        }
    }
    for (int c = 0; c < scan->column_count; c++) {
        const Ready *ready = &scan->ready[c];
        if (ready->form == 'f' && ready->good && ready->items != NULL &&
            memchr(ready->items, 0, (size_t)scan->rows) != NULL) {
            return 0;
        }
    }
    return 1;
}

/* Whether every row has a value in a column, and each was converted. */
static int
is_converted(const Scan *scan, int column)
{
    const Ready *ready = &scan->ready[column];
    return ready->good && scan->filled[column] == scan->rows && ready->items != NULL;
}

/* Whether nobody will ask where a column's values lie; `alike` as `are_alike` has it. */
static int
is_settled(const Scan *scan, int column, int alike)
{
    const Ready *ready = &scan->ready[column];
    return alike && is_converted(scan, column) && (ready->form != 'e' || ready->count == scan->rows);
}

/* Whether a page that was taken for a lean one is one: its columns are settled, but for those that no row has. */
static int
is_lean(const Scan *scan)
{
    int alike = are_alike(scan), lean = 1;
    for (int c = 0; c < scan->column_count; c++) {
        lean = lean && (scan->filled[c] == 0 || is_settled(scan, c, alike));
    }
    return lean;
}

/* Forgets all rows, to read them once more with their offsets. */
static void
begin_again(Scan *scan)
{
    PyMem_Free(scan->cells);
    PyMem_Free(scan->row_kinds);
    scan->cells = NULL;
    scan->row_kinds = NULL;
    scan->rows = scan->room = scan->run_count = scan->lean = scan->spoilt = 0;
    memset(scan->filled, 0, sizeof scan->filled);
    for (int c = 0; c < scan->column_count; c++) {
        empty_ready(&scan->ready[c]);
    }
}

/* (rows, kinds, alike, ((starts, ends, filled, ready), ...)) of a finished scan. */
static PyObject *
as_columns(Scan *scan)
{
    int alike = are_alike(scan);
    PyObject *columns = PyTuple_New(scan->column_count);
    for (int c = 0; columns != NULL && c < scan->column_count; c++) {
        int settled = scan->lean || is_settled(scan, c, alike); /* a lean page has no offsets; a column is settled, or empty */
        PyObject *values = is_converted(scan, c) ? finished(&scan->ready[c], scan->rows) : Py_NewRef(Py_None);
        PyObject *starts = settled ? Py_NewRef(Py_None) : side_of(scan, c, 0);
        PyObject *ends = settled ? Py_NewRef(Py_None) : side_of(scan, c, 1);
        /* "N" hands the references over; it fails, and frees them, where one is NULL. */
        PyObject *column = Py_BuildValue("(NNnN)", starts, ends, scan->filled[c], values);
        if (column == NULL || PyTuple_SetItem(columns, c, column) < 0) {
            Py_DECREF(columns);
            return NULL;
        }
    }
    if (columns == NULL) {
        return NULL;
    }
    return Py_BuildValue("ny#iN", scan->rows, (const char *)scan->row_kinds, scan->rows, alike, columns);
}

/* Sets a scan up for a page. False with an exception set: too many names, or a column without a form. */
static int
prepare(Scan *scan, PyObject *names, PyObject *columns, const char *forms, Py_ssize_t form_count)
{
    scan->cells = NULL;
    scan->row_kinds = NULL;
    scan->rows = scan->room = scan->tag_count = scan->run_count = scan->run_kind = scan->spoilt = 0;
    scan->lean = 1;
    memset(scan->filled, 0, sizeof scan->filled);
    memset(scan->ready, 0, sizeof scan->ready);
    scan->kind_count = read_names(names, scan->kinds);
    scan->column_count = scan->kind_count < 0 ? -1 : read_names(columns, scan->columns);
    if (scan->column_count < 0) {
        return 0;
    }
    if (form_count != scan->column_count) {
        PyErr_SetString(PyExc_ValueError, "a column without a form");
        return 0;
    }
    for (int c = 0; c < scan->column_count; c++) {
        if (strchr("kimfet", forms[c]) == NULL || forms[c] == 0) {
            PyErr_Format(PyExc_ValueError, "no form is called %d", forms[c]);
            return 0;
        }
        scan->ready[c].form = forms[c];
        scan->ready[c].good = 1;
    }
    return 1;
}

/* What `entries` gives, of a scan that is set up; frees its memory. */
static PyObject *
read_entries(Scan *scan, const char *body, const char *first)
{
    PyObject *result = NULL;
    int read = walk(scan, body, first);
    if (!PyErr_Occurred() && (scan->spoilt || (read && !is_lean(scan)))) {
        begin_again(scan);
        read = walk(scan, body, first);
    }
    if (read) {
        result = as_columns(scan);
    }
    else if (!PyErr_Occurred()) {
        result = Py_NewRef(Py_None);
    }
    for (int c = 0; c < scan->column_count; c++) {
        PyMem_Free(scan->ready[c].items);
        PyMem_Free(scan->ready[c].beside);
    }
    PyMem_Free(scan->cells);
    PyMem_Free(scan->row_kinds);
    return result;
}

PyDoc_STRVAR(entries_doc,
             "entries(body, first, end, names, columns, forms)\n--\n\n"
             "Where the values of a flat list of elements lie, and what they are.\n\n"
             "`<Name>`...`</Name>` follow each other in body[first:end], with elements inside. Of those directly inside\n"
             "that hold nothing but text and are called as one of `columns`, the offsets are found. `forms` has a letter\n"
             "a column: `t` for `texts`, `i` for `integers`, `m` for `moments`, `f` for `flags`, `e` for `etags`; `k` for texts\n"
             "whose marks also sum 8 if one is not greater than that before it, 16 if one is empty.\n\n"
             "Returns (rows, kinds, alike, ((starts, ends, filled, ready), ...)): kinds are int8 indices into `names`; alike,\n"
             "whether all are 0 and all flags set; starts and ends int64, -1 where a row has no such element; filled counts the\n"
             "others; ready is what the form's function gives, and None where a row has no value. Where nothing is left to be\n"
             "asked of them, starts and ends are None. None in all for whatever is not of this plain form.");

static PyObject *
entries(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *names, *columns;
    Py_buffer body;
    Py_ssize_t first, end, form_count;
    const char *forms;
    if (!PyArg_ParseTuple(args, "y*nnO!O!y#", &body, &first, &end, &PyTuple_Type, &names, &PyTuple_Type, &columns,
                          &forms, &form_count)) {
        return NULL;
    }
    Scan scan;
    PyObject *result = NULL;
    if (prepare(&scan, names, columns, forms, form_count)) {
        if (first < 0 || end < first || end > body.len) {
            PyErr_SetString(PyExc_ValueError, "outside of the body");
        }
        else {
            scan.end = (const char *)body.buf + end;
            result = read_entries(&scan, body.buf, (const char *)body.buf + first);
        }
    }
    PyBuffer_Release(&body);
    return result;
}

PyDoc_STRVAR(items_doc,
             "items(body, first, end, runs)\n--\n\n"
             "Where the values of JSON objects lie that have the same strings for fields, one object after the other.\n\n"
             "`runs` says what stands before each value of an object, its opening quote included, and last what stands from\n"
             "the closing quote of an object's last value to the opening one of the next object's first; empty: there is no next.\n\n"
             "Returns (rows, offsets, stop): int64 offsets, for every field the starts of its values, then their ends; the\n"
             "closing quote at which the last object was left. None where an object has another form. A backslash is a byte\n"
             "like any other: the caller makes sure that there is none.");

static PyObject *
items(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *body, *runs, *result = NULL;
    Py_ssize_t first, end;
    if (!PyArg_ParseTuple(args, "SnnO!", &body, &first, &end, &PyTuple_Type, &runs)) {
        return NULL;
    }
    Items found;
    memset(&found, 0, sizeof found);
    found.fields = (int)PyTuple_Size(runs) - 1;
    if (found.fields < 1 || found.fields > MOST_FIELDS || first < 0 || end < first || end > PyBytes_Size(body)) {
        PyErr_SetString(PyExc_ValueError, "outside of the body, or too many fields or none");
        return NULL;
    }
    for (int i = 0; i <= found.fields; i++) {
        char *bytes;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(runs, i), &bytes, &found.runs[i].length) < 0) {
            return NULL;
        }
        found.runs[i].at = bytes;
    }
    const char *bytes = PyBytes_AsString(body);
    found.end = bytes + end;
    const char *stop = read_items(&found, bytes, bytes + first);
    if (stop != NULL) {
        result = Py_BuildValue("nNn", found.rows, item_columns(&found), (Py_ssize_t)(stop - bytes));
    }
    else if (!PyErr_Occurred()) {
        result = Py_NewRef(Py_None);
    }
    PyMem_Free(found.cells);
    return result;
}

/* ---- values at known offsets ---- */

/* The column of (body, starts, ends), in a form. */
static PyObject *
column(PyObject *args, char form)
{
    PyObject *body, *result = NULL;
    Py_buffer starts, ends;
    if (!PyArg_ParseTuple(args, "Sy*y*", &body, &starts, &ends)) {
        return NULL;
    }
    Py_ssize_t width = (Py_ssize_t)sizeof(int64_t);
    Values values = {PyBytes_AsString(body), starts.buf, ends.buf, 1, starts.len / width, 0};
    if (starts.len != ends.len || starts.len % width != 0 || !measure(&values, PyBytes_Size(body))) {
        PyErr_SetString(PyExc_ValueError, "offsets that do not fit the body or each other");
    }
    else {
        result = column_of(&values, form);
    }
    PyBuffer_Release(&starts);
    PyBuffer_Release(&ends);
    return result;
}

PyDoc_STRVAR(integers_doc, "integers(body, starts, ends)\n--\n\n"
                           "Decimal numbers of up to 18 digits as int64; None if a value is anything else.");

static PyObject *
integers(PyObject *Py_UNUSED(module), PyObject *args)
{
    return column(args, 'i');
}

PyDoc_STRVAR(flags_doc, "flags(body, starts, ends)\n--\n\n"
                        "`true` and `false` as bytes 1 and 0; None if a value is anything else.");

static PyObject *
flags(PyObject *Py_UNUSED(module), PyObject *args)
{
    return column(args, 'f');
}

PyDoc_STRVAR(moments_doc, "moments(body, starts, ends)\n--\n\n"
                          "`2024-05-06T07:08:09.000Z`, milliseconds or none, as int64 microseconds; else None.");

static PyObject *
moments(PyObject *Py_UNUSED(module), PyObject *args)
{
    return column(args, 'm');
}

PyDoc_STRVAR(md5s_doc, "md5s(body, starts, ends)\n--\n\n"
                       "16 bytes each, of 22 digits of base64 and `==`; None if a value is anything else.");

static PyObject *
md5s(PyObject *Py_UNUSED(module), PyObject *args)
{
    return column(args, 'b');
}

PyDoc_STRVAR(etags_doc, "etags(body, starts, ends)\n--\n\n"
                        "ETags of 32 lower-case hex digits between `&quot;`, `&#34;` or `\"` as 16 bytes each.\n\n"
                        "Returns (raw, plain, count): 16 zeros and a plain of 0 where an ETag is another; count of the 1s.");

static PyObject *
etags(PyObject *Py_UNUSED(module), PyObject *args)
{
    return column(args, 'e');
}

PyDoc_STRVAR(texts_doc, "texts(body, starts, ends)\n--\n\n"
                        "All values one after the other, and the int32 offsets between them, as Arrow has strings.\n\n"
                        "Returns (data, offsets, marks): marks sums 1 for a `&` in them, 2 for a `%` or `+`, 4 for a byte\n"
                        "beyond ASCII.");

static PyObject *
texts(PyObject *Py_UNUSED(module), PyObject *args)
{
    return column(args, 't');
}

/* ---- columns of text ---- */

PyDoc_STRVAR(ascending_doc, "ascending(data, offsets, first, rows)\n--\n\n"
                            "Whether each text of a slice of Arrow's strings is greater than the one before, byte by byte.");

static PyObject *
ascending(PyObject *Py_UNUSED(module), PyObject *args)
{
    Strings strings;
    if (!PyArg_ParseTuple(args, "y*y*nn", &strings.data, &strings.offsets, &strings.first, &strings.rows)) {
        return NULL;
    }
    PyObject *result = are_sound(&strings) ? PyBool_FromLong(is_ascending(&strings)) : NULL;
    let_go(&strings);
    return result;
}

PyDoc_STRVAR(first_hashed_doc, "first_hashed(data, offsets, first, rows, mask)\n--\n\n"
                               "The first text of a slice of Arrow's strings in whose hash all bits of the mask are 0; -1 if none.");

static PyObject *
first_hashed(PyObject *Py_UNUSED(module), PyObject *args)
{
    Strings strings;
    unsigned long long mask;
    if (!PyArg_ParseTuple(args, "y*y*nnK", &strings.data, &strings.offsets, &strings.first, &strings.rows, &mask)) {
        return NULL;
    }
    PyObject *result = NULL;
    if (are_sound(&strings)) {
        Py_ssize_t row = 0;
        while (row < strings.rows && (hash_of(string_of(&strings, row)) & mask) != 0) {
            row++;
        }
        result = PyLong_FromSsize_t(row < strings.rows ? row : -1);
    }
    let_go(&strings);
    return result;
}

#define TAIL_EMPTY 1  /* a text is the head itself */
#define TAIL_FOLDER 2 /* one ends in a slash */
#define TAIL_ODD 4    /* one has a segment that no path has */

/* Copies what stands behind the head of every text; the marks of all. No text is shorter than the head. */
static int
copy_tails(const Strings *strings, Py_ssize_t head, char *out, char *ends)
{
    int marks = 0;
    int32_t end = 0;
    memset(ends, 0, sizeof end);
    for (Py_ssize_t row = 0; row < strings->rows; row++) {
        Value text = string_of(strings, row);
        Value tail = {text.at + head, text.length - head};
        memcpy(out + end, tail.at, (size_t)tail.length);
        end += (int32_t)tail.length;
        memcpy(ends + (row + 1) * (Py_ssize_t)sizeof end, &end, sizeof end);
        marks |= tail.length == 0 ? TAIL_EMPTY : tail.at[tail.length - 1] == '/' ? TAIL_FOLDER : 0;
        marks |= is_odd(tail) ? TAIL_ODD : 0;
    }
    return marks;
}

PyDoc_STRVAR(tails_doc, "tails(data, offsets, first, rows, head)\n--\n\n"
                        "What follows the head with which each text of a slice of Arrow's strings starts.\n\n"
                        "Returns (data, offsets, marks): marks sums 1 for an empty one, 2 for one that ends in `/`, 4 for one\n"
                        "with a NUL or a segment `.` or `..`. None where a text starts otherwise.");

static PyObject *
tails(PyObject *Py_UNUSED(module), PyObject *args)
{
    Strings strings;
    const char *head;
    Py_ssize_t head_length;
    if (!PyArg_ParseTuple(args, "y*y*nny#", &strings.data, &strings.offsets, &strings.first, &strings.rows, &head,
                          &head_length)) {
        return NULL;
    }
    PyObject *data = NULL, *offsets = NULL;
    int marks = 0, sound = are_sound(&strings), good = sound;
    for (Py_ssize_t row = 0; good && row < strings.rows; row++) {
        Value text = string_of(&strings, row);
        good = text.length >= head_length && memcmp(text.at, head, (size_t)head_length) == 0;
    }
    if (good) {
        Py_ssize_t length = offset_of(&strings, strings.rows) - offset_of(&strings, 0);
        data = PyBytes_FromStringAndSize(NULL, length - head_length * strings.rows);
        offsets = PyBytes_FromStringAndSize(NULL, (strings.rows + 1) * (Py_ssize_t)sizeof(int32_t));
        if (data != NULL && offsets != NULL) {
            marks = copy_tails(&strings, head_length, PyBytes_AsString(data), PyBytes_AsString(offsets));
        }
    }
    let_go(&strings);
    if (!sound) {
        return NULL;
    }
    return good ? Py_BuildValue("NNi", data, offsets, marks) : Py_NewRef(Py_None);
}

PyDoc_STRVAR(lines_doc, "lines(data, offsets, first, rows, digests, out)\n--\n\n"
                        "Each text of a slice of Arrow's strings, a colon, the hex digits of 16 bytes a row, and a line feed.\n\n"
                        "Written to the start of `out`; returns how many bytes they are, and writes none if it is shorter.");

static PyObject *
lines(PyObject *Py_UNUSED(module), PyObject *args)
{
    Strings strings;
    Py_buffer digests, target;
    if (!PyArg_ParseTuple(args, "y*y*nny*w*", &strings.data, &strings.offsets, &strings.first, &strings.rows, &digests,
                          &target)) {
        return NULL;
    }
    PyObject *result = NULL;
    if (are_sound(&strings)) {
        if (digests.len / 16 != strings.rows || digests.len % 16 != 0) {
            PyErr_SetString(PyExc_ValueError, "offsets and digests of different lengths");
        }
        else {
            Py_ssize_t length = offset_of(&strings, strings.rows) - offset_of(&strings, 0) + 34 * strings.rows;
            if (length <= target.len) {
                write_lines(&strings, digests.buf, target.buf);
            }
            result = PyLong_FromSsize_t(length);
        }
    }
    let_go(&strings);
    PyBuffer_Release(&digests);
    PyBuffer_Release(&target);
    return result;
}

PyDoc_STRVAR(total_doc, "total(data, first, rows)\n--\n\n"
                        "The sum of a slice of int64 numbers; None where it is no int64.");

static PyObject *
total(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer data;
    Py_ssize_t first, rows;
    if (!PyArg_ParseTuple(args, "y*nn", &data, &first, &rows)) {
        return NULL;
    }
    PyObject *result = NULL;
    Py_ssize_t count = data.len / (Py_ssize_t)sizeof(int64_t);
    if (first < 0 || rows < 0 || first > count || rows > count - first) {
        PyErr_SetString(PyExc_ValueError, "a slice outside of the data");
    }
    else {
        int64_t sum = 0;
        int fits = 1;
        for (Py_ssize_t row = first; row < first + rows; row++) {
            int64_t number = item(data.buf, row);
            fits &= number >= 0 ? sum <= INT64_MAX - number : sum >= INT64_MIN - number;
            sum = (int64_t)((uint64_t)sum + (uint64_t)number);
        }
        result = fits ? PyLong_FromLongLong(sum) : Py_NewRef(Py_None);
    }
    PyBuffer_Release(&data);
    return result;
}

/* ---- a folder ---- */

PyDoc_STRVAR(folder_doc, "folder(path, head, start, most)\n--\n\n"
                         "The files that lie in a folder, each looked at, in no order.\n\n"
                         "Returns (keys, ends, states, others): keys are `head` and each name, one after the other; ends int32, where\n"
                         "each ends, counted from `start`; states int64, five a file (device, inode, size, mtime, ctime: nanoseconds);\n"
                         "others has of all that is no file its kind (`/` a folder, `@` a link, `?`), its name and a NUL. None if there\n"
                         "are more than `most` files. Raises OSError, also where a file vanishes meanwhile.");

static PyObject *
folder(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *path, *head;
    Folder found;
    memset(&found, 0, sizeof found);
    long long start, most;
    if (!PyArg_ParseTuple(args, "SSLL", &path, &head, &start, &most)) {
        return NULL;
    }
    Value shared = {PyBytes_AsString(head), PyBytes_Size(head)};
    const char *place = PyBytes_AsString(path);
    if (strlen(place) != (size_t)PyBytes_Size(path) || start < 0 || start > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "a NUL in the path, or a start beyond what an offset holds");
        return NULL;
    }
    found.end = start;
    found.most = most;
    int result;
    Py_BEGIN_ALLOW_THREADS
    result = read_folder(&found, place, shared);
    Py_END_ALLOW_THREADS
    PyObject *columns = NULL;
    if (result == FOLDER_READ) {
        /* y# makes None of NULL. */
        columns = Py_BuildValue("(y#y#y#y#)", found.keys.bytes ? found.keys.bytes : "", (Py_ssize_t)found.keys.length,
                                found.ends.bytes ? found.ends.bytes : "", (Py_ssize_t)found.ends.length,
                                found.states.bytes ? found.states.bytes : "", (Py_ssize_t)found.states.length,
                                found.others.bytes ? found.others.bytes : "", (Py_ssize_t)found.others.length);
    }
    else if (result == FOLDER_TOO_LARGE) {
        columns = Py_NewRef(Py_None);
    }
    else {
        errno = result;
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
    }
    forget_folder(&found);
    return columns;
}

PyDoc_STRVAR(states_doc, "states(folder, names, count)\n--\n\n"
                         "A look at each of `count` names in a folder, which are one after the other, each ended by a NUL; links are followed.\n\n"
                         "Returns (states, outcomes): states int64, five a name as `folder` has them; outcomes int32, an errno, or less than\n"
                         "zero the kind of what is there (`-` a file, `/` a folder, `?`). The interpreter's lock is taken once, not for each.");

static PyObject *
states(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *place, *first;
    Py_ssize_t place_length, length, count;
    if (!PyArg_ParseTuple(args, "y#y#n", &place, &place_length, &first, &length, &count)) {
        return NULL;
    }
    Py_ssize_t ends = 0;
    for (Py_ssize_t at = 0; at < length; at++) {
        ends += first[at] == 0;
    }
    if (ends != count || (length > 0 && first[length - 1] != 0) || memchr(place, 0, (size_t)place_length) != NULL) {
        PyErr_SetString(PyExc_ValueError, "another number of names, one without its end, or a NUL in the folder");
        return NULL;
    }
    PyObject *found = PyBytes_FromStringAndSize(NULL, count * 5 * (Py_ssize_t)sizeof(int64_t));
    PyObject *outcomes = PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(int32_t));
    char *path = malloc((size_t)(place_length + length) + 1);
    if (found == NULL || outcomes == NULL || path == NULL) {
        Py_XDECREF(found);
        Py_XDECREF(outcomes);
        free(path);
        return PyErr_NoMemory();
    }
    int64_t *state = (int64_t *)PyBytes_AsString(found);
    int32_t *outcome = (int32_t *)PyBytes_AsString(outcomes);
    Py_BEGIN_ALLOW_THREADS
    memset(state, 0, (size_t)count * 5 * sizeof *state);
    memcpy(path, place, (size_t)place_length);
    look_at_names(path, (size_t)place_length, first, first + length, state, outcome);
    Py_END_ALLOW_THREADS
    free(path);
    return Py_BuildValue("NN", found, outcomes);
}

PyDoc_STRVAR(write_doc, "write(paths, contents)\n--\n\n"
                        "Write small files whole: for each path, ended by a NUL, one of `contents`, a tuple of buffers.\n\n"
                        "Each gets its name when it is whole, which nothing may have had (Linux, where the file system can). Returns int64,\n"
                        "five a file as `folder` has them; an inode of 0: it could not be written so, and nothing was left of it.\n"
                        "The interpreter's lock is given back once, not for each call of the system.");

static PyObject *
write_files(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *paths;
    Py_ssize_t length, taken = 0;
    PyObject *contents;
    if (!PyArg_ParseTuple(args, "y#O", &paths, &length, &contents)) {
        return NULL;
    }
    Py_ssize_t count = PyTuple_Check(contents) ? PyTuple_Size(contents) : -1, ends = 0;
    for (Py_ssize_t at = 0; at < length; at++) {
        ends += paths[at] == 0;
    }
    if (ends != count || (length > 0 && paths[length - 1] != 0)) {
        PyErr_SetString(PyExc_ValueError, "no tuple, another number of paths, or one without its end");
        return NULL;
    }
    PyObject *states = PyBytes_FromStringAndSize(NULL, count * 5 * (Py_ssize_t)sizeof(int64_t));
    Py_buffer *views = malloc((size_t)count * sizeof *views + 1);
    char *path = malloc((size_t)length + 1);
    if (states == NULL || views == NULL || path == NULL) {
        PyErr_NoMemory();
        Py_CLEAR(states);
    }
    while (states != NULL && taken < count) {
        if (PyObject_GetBuffer(PyTuple_GetItem(contents, taken), &views[taken], PyBUF_SIMPLE) != 0) {
            Py_CLEAR(states);
            break;
        }
        taken++;
    }
    if (states != NULL) {
        int64_t *state = (int64_t *)PyBytes_AsString(states);
        Py_BEGIN_ALLOW_THREADS
        memcpy(path, paths, (size_t)length);
        memset(state, 0, (size_t)count * 5 * sizeof *state);
        char *at = path;
        for (Py_ssize_t file = 0; file < count; file++, at += strlen(at) + 1) {
            write_small(at, views[file].buf, (size_t)views[file].len, state + 5 * file);
        }
        Py_END_ALLOW_THREADS
    }
    while (taken > 0) {
        PyBuffer_Release(&views[--taken]);
    }
    free(views);
    free(path);
    return states;
}

PyDoc_STRVAR(names_doc, "names(data, offsets, first, rows, head)\n--\n\n"
                        "The base64 of the MD5 of `head` and each text of a slice of Arrow's strings, with URI escapes in the text;\n"
                        "24 characters a row.");

static PyObject *
names(PyObject *Py_UNUSED(module), PyObject *args)
{
    Strings strings;
    const char *head;
    Py_ssize_t head_length;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*y*nny#", &strings.data, &strings.offsets, &strings.first, &strings.rows, &head,
                          &head_length)) {
        return NULL;
    }
    if (are_sound(&strings)) {
        result = PyBytes_FromStringAndSize(NULL, BASE64_LENGTH * strings.rows);
    }
    if (result != NULL) {
        char *out = PyBytes_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        Md5 begun;
        md5_begin(&begun);
        for (Py_ssize_t i = 0; i < head_length; i++) {
            md5_put(&begun, (unsigned char)head[i]);
        }
        for (Py_ssize_t row = 0; row < strings.rows; row++, out += BASE64_LENGTH) {
            Value text = string_of(&strings, row);
            Md5 md5 = begun;
            for (Py_ssize_t i = 0; i < text.length; i++) {
                md5_put_quoted(&md5, (unsigned char)text.at[i]);
            }
            unsigned char digest[16];
            md5_end(&md5, digest);
            base64_of(digest, out);
        }
        Py_END_ALLOW_THREADS
    }
    let_go(&strings);
    return result;
}

static PyMethodDef methods[] = {
    {"entries", entries, METH_VARARGS, entries_doc},
    {"items", items, METH_VARARGS, items_doc},
    {"integers", integers, METH_VARARGS, integers_doc},
    {"flags", flags, METH_VARARGS, flags_doc},
    {"moments", moments, METH_VARARGS, moments_doc},
    {"md5s", md5s, METH_VARARGS, md5s_doc},
    {"etags", etags, METH_VARARGS, etags_doc},
    {"texts", texts, METH_VARARGS, texts_doc},
    {"ascending", ascending, METH_VARARGS, ascending_doc},
    {"first_hashed", first_hashed, METH_VARARGS, first_hashed_doc},
    {"tails", tails, METH_VARARGS, tails_doc},
    {"folder", folder, METH_VARARGS, folder_doc},
    {"names", names, METH_VARARGS, names_doc},
    {"states", states, METH_VARARGS, states_doc},
    {"write", write_files, METH_VARARGS, write_doc},
    {"lines", lines, METH_VARARGS, lines_doc},
    {"total", total, METH_VARARGS, total_doc},
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
