/* proxy_header.c - the PROXY protocol's header, version 1 and 2.
 *
 * Strict where the specification is: single blanks, no leading zeros, CR LF within 107 bytes for
 * the text; a known command, family and transport and room for both addresses in the binary form.
 * A header that lies about the client is worse than none, so nothing is guessed.
 *
 * Pure; any thread. */
#include "server/proxy_header.h"

#include <arpa/inet.h>

enum { V1_MOST = 107, V2_FIXED = 16, V2_TCP4 = 12, V2_TCP6 = 36 };

static const char SIGNATURE[] = "\r\n\r\n\0\r\nQUIT\n";
#define SIGNATURE_BYTES 12
static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* ---- text ---------------------------------------------------------------- */

static bool is_address(struct str text, bool is_v6, uint8_t out[16])
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (strlen(copy) != text.len)
        return false;
    if (is_v6)
        return inet_pton(AF_INET6, copy, out) == 1;
    memcpy(out, mapped, sizeof(mapped));
    return inet_pton(AF_INET, copy, out + 12) == 1;
}

static bool is_port(struct str text)
{
    uint32_t value = 0;

    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    return value <= 65535;
}

/* What stands between "PROXY " and CR LF. */
static bool read_line(struct str line, struct proxy_header *out)
{
    struct str word[5], destination;
    uint8_t ignored[16];
    bool is_v6;

    if (str_eq(line, STR("UNKNOWN")) || str_starts(line, STR("UNKNOWN ")))
        return true;
    for (size_t i = 0; i < COUNT_OF(word); i++)
        if (!str_split(&line, ' ', &word[i]))
            return false;
    is_v6 = str_eq(word[0], STR("TCP6"));
    destination = word[2];
    out->has_address = true;
    return line.ptr == NULL && (is_v6 || str_eq(word[0], STR("TCP4"))) &&
           is_address(word[1], is_v6, out->address) && is_address(destination, is_v6, ignored) &&
           is_port(word[3]) && is_port(word[4]);
}

static enum proxy_state read_text(struct str bytes, struct proxy_header *out)
{
    static const char begin[] = "PROXY ";
    size_t known = bytes.len < sizeof(begin) - 1 ? bytes.len : sizeof(begin) - 1, end;

    if (memcmp(bytes.ptr, begin, known) != 0)
        return PROXY_WRONG;
    for (end = known; end < bytes.len && bytes.ptr[end] != '\r'; end++)
        if (bytes.ptr[end] == '\n' || end + 2 >= V1_MOST)
            return PROXY_WRONG;
    if (end + 1 >= bytes.len)
        return PROXY_MORE;
    if (bytes.ptr[end + 1] != '\n' || !read_line(str_at(bytes.ptr + known, end - known), out))
        return PROXY_WRONG;
    out->length = end + 2;
    return PROXY_WHOLE;
}

/* ---- binary -------------------------------------------------------------- */

/* Bytes that the addresses of this family and transport need; -1: no such pair. */
static int address_bytes(uint8_t family)
{
    switch (family) {
    case 0x11:
    case 0x12:
        return V2_TCP4;
    case 0x21:
    case 0x22:
        return V2_TCP6;
    case 0x31:
    case 0x32:
        return 216;
    case 0x00:
        return 0;
    default:
        return -1;
    }
}

static enum proxy_state read_binary(struct str bytes, struct proxy_header *out)
{
    const uint8_t *b = (const uint8_t *)bytes.ptr;
    size_t known = bytes.len < SIGNATURE_BYTES ? bytes.len : SIGNATURE_BYTES, length;
    bool is_local;
    int need;

    if (memcmp(b, SIGNATURE, known) != 0 || (bytes.len > 12 && b[12] != 0x20 && b[12] != 0x21))
        return PROXY_WRONG;
    if (bytes.len < V2_FIXED)
        return PROXY_MORE;
    is_local = b[12] == 0x20;
    length = (size_t)b[14] << 8 | b[15];
    need = address_bytes(b[13]);
    if (length > PROXY_HEADER_BYTES - V2_FIXED ||
        (!is_local && (need < 0 || length < (size_t)need)))
        return PROXY_WRONG;
    if (bytes.len < V2_FIXED + length)
        return PROXY_MORE;
    out->length = V2_FIXED + length;
    out->has_address = !is_local && (b[13] == 0x11 || b[13] == 0x21);
    if (b[13] == 0x21 && out->has_address) {
        memcpy(out->address, b + V2_FIXED, 16);
    } else if (out->has_address) {
        memcpy(out->address, mapped, sizeof(mapped));
        memcpy(out->address + 12, b + V2_FIXED, 4);
    }
    return PROXY_WHOLE;
}

enum proxy_state proxy_header_read(struct str bytes, struct proxy_header *out)
{
    memset(out, 0, sizeof(*out));
    if (bytes.len == 0)
        return PROXY_MORE;
    return bytes.ptr[0] == 'P' ? read_text(bytes, out) : read_binary(bytes, out);
}
