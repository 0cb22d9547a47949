/* Where the values of a list of JSON objects lie that are all alike: the same fields in the same order, all strings.

   Without a backslash in them every quote opens or closes a string, so a row is found by what stands between its values,
   which is in every row what it is in the first. Whoever calls sees to the backslashes and to what those runs may be. */

#define MOST_FIELDS 64

typedef struct {
    const char *end; /* nothing is read from here on */
    Value runs[MOST_FIELDS + 1]; /* before each value, its opening quote included; the last: from a row to the next */
    int fields;
    int64_t *cells; /* start and end of each value, row by row */
    Py_ssize_t rows, room;
} Items;

static int
stands_at(const Items *items, int run, const char *at)
{
    Value text = items->runs[run];
    return text.length <= items->end - at && same(at, text.at, text.length);
}

/* Room for one more row. False: no memory, with an exception set. */
static int
room_for_item(Items *items)
{
    if (items->rows < items->room) {
        return 1;
    }
    Py_ssize_t room = items->room ? 2 * items->room : 1024; /* a row is at least 4 bytes of the body a field */
    int64_t *cells = PyMem_Realloc(items->cells, (size_t)(room * 2 * items->fields) * sizeof *cells);
    if (cells == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    items->cells = cells;
    items->room = room;
    return 1;
}

/* Reads rows from `p` on. Where the last value of the last one ends, at its quote; NULL: some row is of another form, or (with
   an exception set) no memory. */
static const char *
read_items(Items *items, const char *body, const char *p)
{
    if (!stands_at(items, 0, p)) {
        return NULL;
    }
    p += items->runs[0].length;
    for (;;) {
        if (!room_for_item(items)) {
            return NULL;
        }
        int64_t *cell = items->cells + 2 * items->rows * items->fields;
        for (int field = 0; field < items->fields; field++) {
            if (field > 0) {
                if (!stands_at(items, field, p)) {
                    return NULL;
                }
                p += items->runs[field].length;
            }
            const char *close = memchr(p, '"', (size_t)(items->end - p));
            if (close == NULL) {
                return NULL;
            }
            *cell++ = p - body;
            *cell++ = close - body;
            p = close;
        }
        items->rows++;
        if (!items->runs[items->fields].length || !stands_at(items, items->fields, p)) {
            return p;
        }
        p += items->runs[items->fields].length;
    }
}

/* The offsets column by column: all starts of a field, then all its ends. */
static PyObject *
item_columns(const Items *items)
{
    Py_ssize_t sides = 2 * items->fields, width = (Py_ssize_t)sizeof(int64_t);
    PyObject *found = PyBytes_FromStringAndSize(NULL, items->rows * sides * width);
    if (found != NULL) {
        char *out = PyBytes_AsString(found);
        for (Py_ssize_t side = 0; side < sides; side++) {
            for (Py_ssize_t row = 0; row < items->rows; row++, out += width) {
                memcpy(out, items->cells + row * sides + side, (size_t)width);
            }
        }
    }
    return found;
}
