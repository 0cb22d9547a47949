/* MD5 (RFC 1321) of short texts, and its base64: what W&B names a file by that is not to be read. */

typedef struct {
    uint32_t words[4];
    unsigned char block[64];
    uint64_t length;
} Md5;

static const unsigned char MD5_SHIFTS[16] = {7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21};
static const uint32_t MD5_SINES[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};

static uint32_t
md5_word(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void
md5_turn(Md5 *md5)
{
    uint32_t a = md5->words[0], b = md5->words[1], c = md5->words[2], d = md5->words[3];
    for (unsigned int i = 0; i < 64; i++) {
        unsigned int round = i / 16;
        uint32_t mixed = round == 0   ? (b & c) | (~b & d)
                         : round == 1 ? (b & d) | (c & ~d)
                         : round == 2 ? b ^ c ^ d
                                      : c ^ (b | ~d);
        unsigned int at = round == 0 ? i : round == 1 ? 5 * i + 1 : round == 2 ? 3 * i + 5 : 7 * i;
        uint32_t sum = a + mixed + MD5_SINES[i] + md5_word(md5->block + 4 * (at % 16));
        unsigned int shift = MD5_SHIFTS[4 * round + i % 4];
        a = d;
        d = c;
        c = b;
        b += sum << shift | sum >> (32 - shift);
    }
    md5->words[0] += a;
    md5->words[1] += b;
    md5->words[2] += c;
    md5->words[3] += d;
}

static void
md5_begin(Md5 *md5)
{
    static const uint32_t first[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    memcpy(md5->words, first, sizeof first);
    md5->length = 0;
}

static void
md5_put(Md5 *md5, unsigned char byte)
{
    md5->block[md5->length++ % 64] = byte;
    if (md5->length % 64 == 0) {
        md5_turn(md5);
    }
}

static void
md5_end(Md5 *md5, unsigned char *digest)
{
    uint64_t bits = 8 * md5->length;
    md5_put(md5, 0x80);
    while (md5->length % 64 != 56) {
        md5_put(md5, 0);
    }
    for (int i = 0; i < 8; i++) {
        md5_put(md5, (unsigned char)(bits >> 8 * i));
    }
    for (int i = 0; i < 16; i++) {
        digest[i] = (unsigned char)(md5->words[i / 4] >> 8 * (i % 4));
    }
}

/* A byte of a path in a URI: as it stands where that needs no escape (Python's quote: `/` among them). */
static void
md5_put_quoted(Md5 *md5, unsigned char byte)
{
    int plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '-' && byte <= '9') ||
                byte == '_' || byte == '~';
    if (plain) {
        md5_put(md5, byte);
        return;
    }
    md5_put(md5, '%');
    md5_put(md5, (unsigned char)"0123456789ABCDEF"[byte >> 4]);
    md5_put(md5, (unsigned char)"0123456789ABCDEF"[byte & 15]);
}

#define BASE64_LENGTH 24

/* The 24 characters of 16 bytes. */
static void
base64_of(const unsigned char *digest, char *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 15; i += 3, out += 4) {
        uint32_t bits = (uint32_t)digest[i] << 16 | (uint32_t)digest[i + 1] << 8 | digest[i + 2];
        for (int j = 0; j < 4; j++) {
            out[j] = alphabet[bits >> (18 - 6 * j) & 63];
        }
    }
    out[0] = alphabet[digest[15] >> 2];
    out[1] = alphabet[(digest[15] & 3) << 4];
    out[2] = out[3] = '=';
}
