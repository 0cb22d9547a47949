/* What is asked of whole columns of text: their order, and what follows a head that all share. */

/* Arrow's strings: row i is data[offsets[i]:offsets[i + 1]]. */
typedef struct {
    Py_buffer data, offsets;
    Py_ssize_t first, rows;
} Strings;

static void
let_go(Strings *strings)
{
    PyBuffer_Release(&strings->data);
    PyBuffer_Release(&strings->offsets);
}

static int32_t
offset_of(const Strings *strings, Py_ssize_t row)
{
    int32_t found;
    memcpy(&found, (const char *)strings->offsets.buf + (strings->first + row) * (Py_ssize_t)sizeof found, sizeof found);
    return found;
}

static Value
string_of(const Strings *strings, Py_ssize_t row)
{
    int32_t start = offset_of(strings, row);
    return (Value){(const char *)strings->data.buf + start, offset_of(strings, row + 1) - start};
}

/* Whether every offset lies within the data, once, for all that follows; with an exception set if not. */
static int
are_sound(Strings *strings)
{
    Py_ssize_t count = strings->offsets.len / (Py_ssize_t)sizeof(int32_t);
    int good = strings->first >= 0 && strings->rows >= 0 && strings->first < count &&
               strings->rows < count - strings->first && offset_of(strings, 0) >= 0 &&
               offset_of(strings, strings->rows) <= strings->data.len;
    for (Py_ssize_t row = 0; good && row < strings->rows; row++) {
        good = offset_of(strings, row) <= offset_of(strings, row + 1);
    }
    if (!good) {
        PyErr_SetString(PyExc_ValueError, "offsets that do not fit the data or each other");
    }
    return good;
}

/* Whether each is greater than the one before it, byte by byte. */
static int
is_ascending(const Strings *strings)
{
    for (Py_ssize_t row = 1; row < strings->rows; row++) {
        if (!is_less(string_of(strings, row - 1), string_of(strings, row))) {
            return 0;
        }
    }
    return 1;
}

/* Whether a text has a segment `.` or `..`, or a NUL: no path has. */
static int
is_odd(Value text)
{
    const char *end = text.at + text.length, *p = text.at;
    if (memchr(p, 0, (size_t)text.length) != NULL) {
        return 1;
    }
    while ((p = memchr(p, '.', (size_t)(end - p))) != NULL) {
        const char *after = p + 1 < end && p[1] == '.' ? p + 2 : p + 1;
        if ((p == text.at || p[-1] == '/') && (after == end || *after == '/')) {
            return 1;
        }
        p++;
    }
    return 0;
}

/* The last bytes of a text before `end`, eight at most, as a little-endian number. */
static uint64_t
word_before(const char *start, const char *end)
{
    Py_ssize_t count = end - start < 8 ? end - start : 8;
    uint64_t word = 0;
    for (Py_ssize_t at = 0; at < count; at++) {
        word |= (uint64_t)(unsigned char)end[at - count] << (8 * at);
    }
    return word;
}

/* A hash of a text's length and last 32 bytes; asyncref/manifest/cuts.py says the same with numpy. */
static uint64_t
hash_of(Value text)
{
    uint64_t mixed = (uint64_t)text.length;
    for (Py_ssize_t back = 0; back < 32; back += 8) {
        Py_ssize_t end = text.length > back ? text.length - back : 0;
        mixed = (mixed ^ word_before(text.at, text.at + end)) * 0x9E3779B97F4A7C15u;
        mixed ^= mixed >> 29;
    }
    return mixed;
}

/* Each text, a colon, the hex digits of its 16 bytes, a line feed; `out` has room for them. */
static void
write_lines(const Strings *strings, const unsigned char *digest, char *out)
{
    for (Py_ssize_t row = 0; row < strings->rows; row++) {
        Value text = string_of(strings, row);
        memcpy(out, text.at, (size_t)text.length);
        out += text.length;
        *out++ = ':';
        for (int half = 0; half < 2; half++, digest += 8, out += 16) {
            uint64_t bytes = load8(digest);
            store(out, hexed(bytes), 8);
            store(out + 8, hexed(bytes >> 32), 8);
        }
        *out++ = '\n';
    }
}
