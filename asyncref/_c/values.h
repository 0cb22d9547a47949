/* Values at known places of a body, as the buffers that Arrow's arrays have. */

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

/* Row i is body[starts[i * stride]:ends[i * stride]], and empty where its start is -1. All lie within the body. */
typedef struct {
    const char *body, *starts, *ends; /* int64 items, maybe unaligned */
    Py_ssize_t stride, rows, total;   /* total: bytes of all values */
} Values;

typedef struct {
    const char *at;
    Py_ssize_t length;
} Value;

static int64_t
item(const char *items, Py_ssize_t i)
{
    int64_t found;
    memcpy(&found, items + i * (Py_ssize_t)sizeof found, sizeof found);
    return found;
}

static Value
value_of(const Values *values, Py_ssize_t row)
{
    int64_t start = item(values->starts, row * values->stride);
    if (start < 0) {
        return (Value){values->body, 0};
    }
    return (Value){values->body + start, (Py_ssize_t)(item(values->ends, row * values->stride) - start)};
}

/* Sums the lengths up, and checks that all values lie within `length` bytes of body. */
static int
measure(Values *values, Py_ssize_t length)
{
    values->total = 0;
    for (Py_ssize_t row = 0; row < values->rows; row++) {
        int64_t start = item(values->starts, row * values->stride), end = item(values->ends, row * values->stride);
        if (start == -1) {
            continue;
        }
        if (start < 0 || start > end || end > length || values->total > PY_SSIZE_T_MAX - (end - start)) {
            return 0;
        }
        values->total += (Py_ssize_t)(end - start);
    }
    return 1;
}

/* ---- eight bytes at a time ---- */

#define EACH(byte) (0x0101010101010101u * (byte)) /* the same byte eight times */

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LOWEST_FIRST(word) __builtin_bswap64(word)
#else
#define LOWEST_FIRST(word) (word)
#endif

/* Eight bytes, of which the first is the lowest. */
static uint64_t
load8(const void *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return LOWEST_FIRST(word);
}

/* The lowest bytes of a word, eight at most, the lowest first. */
static void
store(char *out, uint64_t word, size_t count)
{
    word = LOWEST_FIRST(word);
    memcpy(out, &word, count);
}

/* The lower-case hex digits of eight numbers below 16. */
static uint64_t
digits_of(uint64_t numbers)
{
    uint64_t letters = (numbers + EACH(6)) >> 4 & EACH(1);
    return numbers + EACH('0') + letters * ('a' - '0' - 10);
}

/* The four bytes that eight lower-case hex digits stand for; `*bad` gets bits where they are none. */
static uint64_t
unhexed(uint64_t digits, uint64_t *bad)
{
    uint64_t numbers = (digits & EACH(15)) + 9 * (digits >> 6 & EACH(1)); /* 24 at most, for an `o` */
    *bad |= (digits_of(numbers) ^ digits) | (numbers & EACH(0xf0));
    uint64_t bytes = (numbers << 4 | numbers >> 8) & 0x00ff00ff00ff00ffu;
    bytes = (bytes | bytes >> 8) & 0x0000ffff0000ffffu;
    return bytes | bytes >> 16; /* in the lower half */
}

/* The reverse: the eight hex digits of the four lowest bytes. */
static uint64_t
hexed(uint64_t bytes)
{
    bytes &= 0xffffffffu;
    bytes = (bytes | bytes << 16) & 0x0000ffff0000ffffu;
    bytes = (bytes | bytes << 8) & 0x00ff00ff00ff00ffu;
    return digits_of((bytes >> 4 & 0x000f000f000f000fu) | (bytes & 0x000f000f000f000fu) << 8);
}

/* ---- single values ---- */

/* Turns one value into an item of the result; false if it is of no usual form. */
typedef int (*Convert)(Value value, char *out);

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

/* The numbers of every two digits that stand side by side in eight bytes, at the first digit's place. `form` has a 0 for
   each digit and else what has to be there; `*bad` gets bits where the text is of another form. */
static uint64_t
pairs(const char *text, const char *form, uint64_t *bad)
{
    uint64_t wanted = load8(form), digits = load8(text) ^ wanted; /* a digit's worth, and 0 for what had to be there */
    uint64_t others = (wanted ^ EACH('0')) + EACH(127); /* the highest bit of each byte that is to be no digit */
    *bad |= (digits | (digits + EACH(6))) & EACH(0xf0); /* a digit's worth plus 6 still fits into four bits */
    *bad |= digits & (others >> 7 & EACH(1)) * 15;
    return 10 * digits + (digits >> 8);
}

static int
byte_of(uint64_t word, int at)
{
    return (int)(word >> (8 * at) & 255);
}

/* Days from 1970-01-01 to a day in the proleptic Gregorian calendar; the month counts from 1. */
static int64_t
days(int year, int month, int day)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int ended = year - (month <= 2); /* the last year whose leap day, if it has one, is over or near */
    return (int64_t)365 * year + ended / 4 - ended / 100 + ended / 400 + before[month - 1] + day - 1 - 719527;
}

static int
moment(Value value, char *out)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    char exact[24]; /* 2024-05-06T07:08:09.000Z; there may be no milliseconds */
    const char *t = value.at;
    if (value.length == 20 && t[19] == 'Z') {
        memcpy(exact, t, 19);
        memcpy(exact + 19, ".000Z", 5);
        t = exact;
    }
    else if (value.length != 24) {
        return 0;
    }
    uint64_t bad = 0;
    uint64_t years = pairs(t, "0000-00-", &bad), hours = pairs(t + 8, "00T00:00", &bad), rest = pairs(t + 16, ":00.000Z", &bad);
    int year = 100 * byte_of(years, 0) + byte_of(years, 2), month = byte_of(years, 5), day = byte_of(hours, 0);
    int hour = byte_of(hours, 3), minute = byte_of(hours, 6), second = byte_of(rest, 1);
    if (bad || year < 1 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59) {
        return 0;
    }
    int leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    int64_t millis = 10 * byte_of(rest, 4) + (t[22] - '0');
    int64_t micros = (days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second) * 1000000 + millis * 1000;
    memcpy(out, &micros, sizeof micros);
    return day <= lengths[month - 1] + leap;
}

/* The 16 bytes of 32 lower-case hex digits between two quotes, in any form that quotes have in XML. */
static int
plain_etag(Value value, char *out)
{
    Py_ssize_t width = (value.length - 32) / 2;
    const char *first = value.at, *last = value.at + width + 32;
    int quoted = value.length == 44   ? memcmp(first, "&quot;", 6) == 0 && memcmp(last, "&quot;", 6) == 0
                 : value.length == 42 ? memcmp(first, "&#34;", 5) == 0 && memcmp(last, "&#34;", 5) == 0
                                      : value.length == 34 && *first == '"' && *last == '"';
    if (!quoted) {
        return 0;
    }
    uint64_t bad = 0;
    for (int i = 0; i < 4; i++) {
        store(out + 4 * i, unhexed(load8(value.at + width + 8 * i), &bad), 4);
    }
    return bad == 0;
}

/* A base64 digit's worth; a negative number for anything else. */
static const int8_t sextets[256] = {
#define NONE4 -1, -1, -1, -1
#define NONE16 NONE4, NONE4, NONE4, NONE4
    NONE16, NONE16, NONE4, NONE4, -1, -1, -1, 62, -1, -1, -1, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, NONE4,
    -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, -1, -1, -1, -1, -1,
    -1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, -1, -1, -1, -1, -1,
    NONE16, NONE16, NONE16, NONE16, NONE16, NONE16, NONE16, NONE16,
};

/* The 16 bytes of 22 digits of base64 and `==`; what bits the last digit has beyond them is nobody's matter. */
static int
base64_md5(Value value, char *out)
{
    if (value.length != 24 || value.at[22] != '=' || value.at[23] != '=') {
        return 0;
    }
    const unsigned char *digits = (const unsigned char *)value.at;
    int all = 0;
    for (int at = 0; at < 16; at += 3, digits += 4) { /* three bytes of four digits, at last one of two */
        int first = sextets[digits[0]], second = sextets[digits[1]];
        all |= first | second;
        out[at] = (char)((first & 63) << 2 | (second & 63) >> 4);
        if (at < 15) {
            int third = sextets[digits[2]], fourth = sextets[digits[3]];
            all |= third | fourth;
            out[at + 1] = (char)((second & 15) << 4 | (third & 63) >> 2);
            out[at + 2] = (char)((third & 3) << 6 | (fourth & 63));
        }
    }
    return all >= 0;
}

/* ---- columns ---- */

/* One item of `width` bytes a row, or None where one is of no usual form. */
static PyObject *
items_of(const Values *values, Py_ssize_t width, Convert convert)
{
    PyObject *result = PyBytes_FromStringAndSize(NULL, values->rows * width);
    if (result != NULL) {
        char *out = PyBytes_AsString(result);
        for (Py_ssize_t row = 0; row < values->rows; row++) {
            if (!convert(value_of(values, row), out + row * width)) {
                Py_DECREF(result);
                return Py_NewRef(Py_None);
            }
        }
    }
    return result;
}

/* (raw, plain, count): see `etags`. */
static PyObject *
etags_of(const Values *values)
{
    Py_ssize_t count = 0;
    PyObject *raw = PyBytes_FromStringAndSize(NULL, values->rows * 16);
    PyObject *plain = PyBytes_FromStringAndSize(NULL, values->rows);
    if (raw != NULL && plain != NULL) {
        char *out = PyBytes_AsString(raw), *mask = PyBytes_AsString(plain);
        for (Py_ssize_t row = 0; row < values->rows; row++) {
            mask[row] = (char)plain_etag(value_of(values, row), out + 16 * row);
            count += mask[row];
            if (!mask[row]) {
                memset(out + 16 * row, 0, 16);
            }
        }
    }
    return Py_BuildValue("NNn", raw, plain, count); /* fails, and frees, where one is NULL */
}

#define MARK_ENTITY 1  /* a `&` */
#define MARK_ENCODED 2 /* a `%` or `+` */
#define MARK_WIDE 4    /* a byte beyond ASCII */
/* Of the form `k` alone: */
#define MARK_UNORDERED 8 /* a text is not greater than the one before */
#define MARK_EMPTY 16    /* a text is empty */

static int
is_text(char form)
{
    return form == 't' || form == 'k';
}

static int
is_less(Value one, Value other)
{
    Py_ssize_t shared = one.length < other.length ? one.length : other.length, at = 0, word = (Py_ssize_t)sizeof(uint64_t);
    for (; at + word <= shared; at += word) { /* neighbours differ within the first words: no call of memcmp */
        uint64_t left = load8(one.at + at), right = load8(other.at + at);
        if (left != right) {
            return __builtin_bswap64(left) < __builtin_bswap64(right);
        }
    }
    int order = memcmp(one.at + at, other.at + at, (size_t)(shared - at));
    return order < 0 || (order == 0 && one.length < other.length);
}

/* Which marks a text has. */
static int
marks_of(const char *text, Py_ssize_t length)
{
    size_t size = (size_t)length;
    int marks = memchr(text, '&', size) != NULL ? MARK_ENTITY : 0;
    if (memchr(text, '%', size) != NULL || memchr(text, '+', size) != NULL) {
        marks |= MARK_ENCODED;
    }
    uint64_t all = 0;
    Py_ssize_t at = 0;
    for (uint64_t word; at + (Py_ssize_t)sizeof word <= length; at += (Py_ssize_t)sizeof word) {
        memcpy(&word, text + at, sizeof word);
        all |= word;
    }
    for (; at < length; at++) {
        all |= (unsigned char)text[at];
    }
    return marks | (all & 0x8080808080808080u ? MARK_WIDE : 0);
}

/* (data, offsets, marks): see `texts`. */
static PyObject *
texts_of(const Values *values)
{
    if (values->total > INT32_MAX || values->rows >= INT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "more than 2 GB of text");
        return NULL;
    }
    int marks = 0;
    PyObject *data = PyBytes_FromStringAndSize(NULL, values->total);
    PyObject *offsets = PyBytes_FromStringAndSize(NULL, (values->rows + 1) * (Py_ssize_t)sizeof(int32_t));
    if (data != NULL && offsets != NULL) {
        char *start = PyBytes_AsString(data), *out = start, *ends = PyBytes_AsString(offsets);
        memset(ends, 0, sizeof(int32_t));
        for (Py_ssize_t row = 0; row < values->rows; row++) {
            Value value = value_of(values, row);
            memcpy(out, value.at, (size_t)value.length);
            out += value.length;
            int32_t end = (int32_t)(out - start);
            memcpy(ends + (row + 1) * (Py_ssize_t)sizeof end, &end, sizeof end);
        }
        marks = marks_of(start, values->total);
    }
    return Py_BuildValue("NNi", data, offsets, marks);
}

/* The column in the form that a letter asks for: `t`exts, `i`ntegers, `m`oments, `f`lags, `e`tags, MD5s in `b`ase64. */
static PyObject *
column_of(const Values *values, char form)
{
    switch (form) {
    case 't':
    case 'k':
        return texts_of(values);
    case 'i':
        return items_of(values, sizeof(int64_t), integer);
    case 'm':
        return items_of(values, sizeof(int64_t), moment);
    case 'f':
        return items_of(values, 1, flag);
    case 'e':
        return etags_of(values);
    case 'b':
        return items_of(values, 16, base64_md5);
    default:
        PyErr_Format(PyExc_ValueError, "no form is called %d", form);
        return NULL;
    }
}
