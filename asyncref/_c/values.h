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

/* The number of two digits. `*bad` gets bits above the fourth where they are none. */
static int
pair(const char *at, unsigned *bad)
{
    unsigned high = (unsigned)(unsigned char)at[0] - '0', low = (unsigned)(unsigned char)at[1] - '0';
    *bad |= high | low | (high + 6) | (low + 6); /* a digit's worth plus 6 still fits into four bits */
    return (int)(10 * high + low);
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

/* The day that a text such as `2024-05-06` names, in microseconds since 1970; false if it names none. */
static int
midnight(const char *t, int64_t *micros)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned bad = 0;
    int century = pair(t, &bad), year = 100 * century + pair(t + 2, &bad), month = pair(t + 5, &bad), day = pair(t + 8, &bad);
    if (bad > 15 || t[4] != '-' || t[7] != '-' || year < 1 || month < 1 || month > 12 || day < 1) {
        return 0;
    }
    int leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    *micros = days(year, month, day) * 86400000000;
    return day <= lengths[month - 1] + leap;
}

static int
moment(Value value, char *out)
{
    const char *t = value.at; /* 2024-05-06T07:08:09.000Z, or without milliseconds */
    int exact = value.length == 24;
    if ((!exact && value.length != 20) || t[10] != 'T' || t[13] != ':' || t[16] != ':' || t[value.length - 1] != 'Z' ||
        (exact && t[19] != '.')) {
        return 0;
    }
    unsigned bad = 0;
    int64_t micros = 0;
    int hour = pair(t + 11, &bad), minute = pair(t + 14, &bad), second = pair(t + 17, &bad);
    int tenths = exact ? pair(t + 20, &bad) : 0; /* two of the three digits of milliseconds, and the last */
    int last = exact ? pair(t + 21, &bad) % 10 : 0;
    if (bad > 15 || hour > 23 || minute > 59 || second > 59 || !midnight(t, &micros)) {
        return 0;
    }
    micros += (int64_t)(hour * 3600 + minute * 60 + second) * 1000000 + (int64_t)(10 * tenths + last) * 1000;
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

/* A base64 digit's worth; a negative number for anything else. */
static const int8_t sextets[256] = {
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
    Py_ssize_t shared = one.length < other.length ? one.length : other.length;
    int order = memcmp(one.at, other.at, (size_t)shared);
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
