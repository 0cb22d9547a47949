/* Columns that are converted while a page is walked: each value is read once, as long as it is in the cache. */

typedef struct {
    char form;    /* as `column_of` knows them */
    int good;     /* every value so far is of the usual form */
    char *items;  /* numbers, flags, the ETags' 16 bytes; or the texts, one after the other */
    char *beside; /* the texts' offsets; which ETags are plain; NULL for other forms */
    Py_ssize_t room, text_room, text_end, last, count;
    int marks;
} Ready;

static Py_ssize_t
width_of(char form)
{
    return form == 'f' ? 1 : form == 'e' ? 16 : 8;
}

/* Room for so many bytes. False: no memory, with an exception set. */
static int
widen(char **bytes, Py_ssize_t size)
{
    char *wider = PyMem_Realloc(*bytes, (size_t)size);
    if (wider == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    *bytes = wider;
    return 1;
}

/* Room for more rows than there are. False: no memory, with an exception set. */
static int
make_room(Ready *ready)
{
    ready->room = ready->room ? 2 * ready->room : 1024;
    if (!is_text(ready->form)) {
        return widen(&ready->items, ready->room * width_of(ready->form)) &&
               (ready->form != 'e' || widen(&ready->beside, ready->room));
    }
    if (ready->items == NULL) {
        ready->text_room = 64 * ready->room;
        if (!widen(&ready->items, ready->text_room)) {
            return 0;
        }
    }
    int first = ready->beside == NULL;
    if (!widen(&ready->beside, (ready->room + 1) * (Py_ssize_t)sizeof(int32_t))) {
        return 0;
    }
    if (first) {
        memset(ready->beside, 0, sizeof(int32_t));
    }
    return 1;
}

/* One more text. False: no memory, with an exception set. */
static int
add_text(Ready *ready, Py_ssize_t row, Value value)
{
    if (value.length > ready->text_room - ready->text_end) {
        Py_ssize_t room = 2 * ready->text_room + value.length;
        if (room > INT32_MAX) {
            ready->good = 0; /* more than offsets reach */
            return 1;
        }
        if (!widen(&ready->items, room)) {
            return 0;
        }
        ready->text_room = room;
    }
    memcpy(ready->items + ready->text_end, value.at, (size_t)value.length);
    if (ready->form == 'k') {
        Value before = {ready->items + ready->last, ready->text_end - ready->last};
        ready->marks |= value.length == 0 ? MARK_EMPTY : 0;
        ready->marks |= row > 0 && !is_less(before, value) ? MARK_UNORDERED : 0;
    }
    ready->last = ready->text_end;
    ready->text_end += value.length;
    int32_t end = (int32_t)ready->text_end;
    memcpy(ready->beside + (row + 1) * (Py_ssize_t)sizeof end, &end, sizeof end);
    return 1;
}

/* One more value, of the row after the last one added. False: no memory, with an exception set. */
static int
add_value(Ready *ready, Py_ssize_t row, Value value)
{
    if (row == ready->room && !make_room(ready)) {
        return 0;
    }
    switch (ready->form) {
    case 'i':
        ready->good = integer(value, ready->items + 8 * row);
        return 1;
    case 'm':
        ready->good = moment(value, ready->items + 8 * row);
        return 1;
    case 'f':
        ready->good = flag(value, ready->items + row);
        return 1;
    case 'e': {
        int plain = plain_etag(value, ready->items + 16 * row);
        if (!plain) {
            memset(ready->items + 16 * row, 0, 16);
        }
        ready->beside[row] = (char)plain;
        ready->count += plain;
        return 1;
    }
    default:
        return add_text(ready, row, value);
    }
}

/* Whether a value that was just added is as most are, so that nobody will ask where it lies. */
static int
is_usual(const Ready *ready, Py_ssize_t row)
{
    return ready->good && (ready->form != 'e' || ready->beside[row]) && (ready->form != 'f' || ready->items[row]);
}

/* Begins anew, with the room that there is. */
static void
empty_ready(Ready *ready)
{
    ready->good = 1;
    ready->text_end = ready->last = ready->count = 0;
    ready->marks = 0;
}

/* What the form's function would give for these rows; a new reference, NULL with an exception set. */
static PyObject *
finished(Ready *ready, Py_ssize_t rows)
{
    if (is_text(ready->form)) {
        ready->marks |= marks_of(ready->items, ready->text_end);
        return Py_BuildValue("y#y#i", ready->items, ready->text_end, ready->beside,
                             (rows + 1) * (Py_ssize_t)sizeof(int32_t), ready->marks);
    }
    if (ready->form == 'e') {
        return Py_BuildValue("y#y#n", ready->items, 16 * rows, ready->beside, rows, ready->count);
    }
    return PyBytes_FromStringAndSize(ready->items, rows * width_of(ready->form));
}
