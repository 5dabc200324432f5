/* kinds_net.c - where to listen, where to send, whom to trust.
 *
 * A listener is an address, never a name: a name that resolves differently tomorrow
 * would move it ("localhost" alone is understood). A target may be a name, which the
 * client resolves while it runs.
 *
 * Tables are constant; the functions run in the reader of one config_load(). */
#include "config/config_priv.h"

#include <arpa/inet.h>

enum { MAX_UNIX_PATH = 107, MAX_HOST = 253 };

static void string_schema(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    (void)base;
    schema_text(printer, NULL, ".*");
}

/* Cuts "host:port" or "[v6]:port"; the host without brackets, the port NULL when none is there. */
static bool split_host(struct str text, struct str *host, struct str *port, bool *is_v6)
{
    size_t end;

    *is_v6 = text.len > 0 && text.ptr[0] == '[';
    if (*is_v6) {
        end = str_find(text, ']');
        if (end == text.len)
            return false;
        *host = str_at(text.ptr + 1, end - 1);
        *port = str_from(text, end + 1);
    } else {
        end = str_find(text, ':');
        *host = str_at(text.ptr, end);
        *port = str_from(text, end);
    }
    if (port->len == 0)
        *port = STR_NONE;
    else if (port->ptr[0] != ':')
        return false;
    else
        *port = str_from(*port, 1);
    return host->len > 0;
}

static bool parse_port(struct str text, uint16_t *port)
{
    uint64_t value;

    if (!str_to_u64(text, &value) || value > MAX_PORT)
        return false;
    *port = (uint16_t)value;
    return true;
}

/* ---- listeners ---- */

static enum read_result address_from_text(struct reader *reader, const struct field *field,
                                          void *base, struct str text)
{
    struct listen_config *listen = base;
    struct str host, port;
    uint8_t bytes[16];
    bool is_v6;

    (void)field;
    listen->is_unix = str_starts(text, STR("unix:"));
    if (listen->is_unix) {
        host = str_from(text, 5);
        if (host.len == 0 || host.ptr[0] != '/' || host.len > MAX_UNIX_PATH) {
            reader_fault(reader,
                         "is no path of a unix socket, expected unix:/path of at most %d bytes",
                         MAX_UNIX_PATH);
            return READ_FAULTED;
        }
        return reader_keep(reader, host, &listen->address) ? READ_OK : READ_FAULTED;
    }
    if (!split_host(text, &host, &port, &is_v6) || !parse_port(port, &listen->port))
        return READ_WRONG;
    if (str_eq(host, STR("localhost")))
        host = STR("127.0.0.1");
    if (!address_parse(host, bytes) || is_v6 != (str_find(host, ':') < host.len))
        return READ_WRONG;
    return reader_keep(reader, host, &listen->address) ? READ_OK : READ_FAULTED;
}

static void address_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct listen_config *listen = base;
    bool is_v6 = str_find(listen->address, ':') < listen->address.len;
    struct buf text = buf_new(256);

    (void)field;
    if (listen->is_unix)
        buf_addf(&text, "unix:%.*s", STR_ARG(listen->address));
    else
        buf_addf(&text, is_v6 ? "[%.*s]:%u" : "%.*s:%u", STR_ARG(listen->address),
                 (unsigned)listen->port);
    buf_add_json(printer->out, buf_str(&text));
    buf_free(&text);
}

const struct kind kind_address = {.takes_text = true,
                                  .expected = "ADDRESS:PORT, [V6]:PORT or unix:/path",
                                  .from_text = address_from_text,
                                  .print = address_print,
                                  .schema = string_schema};

/* ---- targets ---- */

static bool is_host_name(struct str host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = ascii_lower(host.ptr[i]);
        bool is_inner = c == '.' || c == '-' || c == '_';
        if (!(c >= 'a' && c <= 'z') && !ascii_is_digit(c) && !(is_inner && i > 0))
            return false;
    }
    return host.len > 0 && host.len <= MAX_HOST;
}

/* "unix:/path", at which a server speaks plain HTTP. */
static bool parse_unix(struct str text, struct target_config *target, const char **wrong)
{
    struct str path = str_from(text, 5);

    *wrong = "has no sound path, expected unix:/path with at most 107 bytes";
    if (path.len == 0 || path.ptr[0] != '/' || path.len > MAX_UNIX_PATH)
        return false;
    target->unix_path = path;
    target->host = STR("localhost"); /* what Host says when it is to name the target */
    target->port = 80;
    return true;
}

bool target_parse(struct str text, struct target_config *target, const char **wrong)
{
    struct str rest, host, port;
    uint8_t bytes[16];
    bool is_v6;

    if (str_starts(text, STR("unix:")))
        return parse_unix(text, target, wrong);
    target->is_https = str_starts(text, STR("https://"));
    *wrong = "expected http://HOST[:PORT], https://HOST[:PORT] or unix:/path";
    if (!target->is_https && !str_starts(text, STR("http://")))
        return false;
    rest = str_from(text, target->is_https ? 8 : 7);
    if (str_find(rest, '@') < rest.len) {
        *wrong = "holds credentials, expected none in a target";
        return false;
    }
    if (str_find(rest, '/') < rest.len || str_find(rest, '?') < rest.len ||
        str_find(rest, '#') < rest.len) {
        *wrong = "has a path or a query, expected scheme, host and port alone (a route's rewrite "
                 "changes paths)";
        return false;
    }
    if (!split_host(rest, &host, &port, &is_v6))
        return false;
    if (is_v6 ? !address_parse(host, bytes) || str_find(host, ':') == host.len
              : !is_host_name(host)) {
        *wrong =
            "has no sound host, expected a name, an IPv4 address or an IPv6 address in brackets";
        return false;
    }
    target->port = target->is_https ? 443 : 80;
    target->host = is_v6 ? str_at(host.ptr - 1, host.len + 2) : host;
    *wrong = "has no sound port, expected 1 to 65535";
    return port.ptr == NULL || (parse_port(port, &target->port) && target->port > 0);
}

static enum read_result url_from_text(struct reader *reader, const struct field *field, void *base,
                                      struct str text)
{
    struct target_config *target = base;
    const char *why;

    (void)field;
    if (str_ends(text, STR("/")) && !str_ends(text, STR("//")))
        text.len--; /* others put a path behind it */
    if (!reader_keep(reader, text, &target->url))
        return READ_FAULTED;
    if (target_parse(target->url, target, &why))
        return reader_keep(reader, target->host, &target->host) ? READ_OK : READ_FAULTED;
    reader_fault(reader, "is no target: %s", why); /* not shown: it may hold credentials */
    return READ_FAULTED;
}

static void url_print(struct printer *printer, const struct field *field, const void *base)
{
    (void)field;
    buf_add_json(printer->out, ((const struct target_config *)base)->url);
}

const struct kind kind_url = {.takes_text = true,
                              .expected = "http://HOST[:PORT], https://HOST[:PORT] or unix:/path",
                              .from_text = url_from_text,
                              .print = url_print,
                              .schema = string_schema};

/* ---- address blocks: read as a list of texts first ---- */

static bool is_cidr(struct str text)
{
    struct cidr ignored;

    return cidr_parse(text, &ignored);
}

static const struct text_rule cidr_rule = {"an address or a block such as \"10.0.0.0/8\"", is_cidr};
static const struct field cidr_texts = {.kind = &kind_texts, .detail = &cidr_rule};

static enum read_result cidrs_put(struct reader *reader, const struct field *field, void *base,
                                  const struct str_list *texts)
{
    struct cidr_list *list = member_of(field, base);

    list->count = 0;
    list->at = reader_zero(reader, (texts->count + 1) * sizeof(*list->at));
    if (list->at == NULL)
        return READ_FAULTED;
    for (uint32_t i = 0; i < texts->count; i++)
        CHECK(cidr_parse(texts->at[i], &list->at[list->count++]));
    return READ_OK;
}

static enum read_result cidrs_from_text(struct reader *reader, const struct field *field,
                                        void *base, struct str text)
{
    struct str_list texts;
    enum read_result result = kind_texts.from_text(reader, &cidr_texts, &texts, text);

    return result == READ_OK ? cidrs_put(reader, field, base, &texts) : result;
}

static enum read_result cidrs_from_node(struct reader *reader, const struct field *field,
                                        void *base, const struct node *node)
{
    struct str_list texts;
    enum read_result result = kind_texts.from_node(reader, &cidr_texts, &texts, node);

    return result == READ_OK ? cidrs_put(reader, field, base, &texts) : result;
}

static void cidr_write(struct buf *out, const struct cidr *block)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    bool is_v4 = block->prefix >= 96 && memcmp(block->bytes, mapped, sizeof(mapped)) == 0;
    char text[INET6_ADDRSTRLEN];

    if (inet_ntop(is_v4 ? AF_INET : AF_INET6, block->bytes + (is_v4 ? 12 : 0), text,
                  sizeof(text)) != NULL)
        buf_addf(out, "\"%s/%u\"", text, is_v4 ? block->prefix - 96u : block->prefix);
}

static void cidrs_print(struct printer *printer, const struct field *field, const void *base)
{
    const struct cidr_list *list = member_in(field, base);

    buf_add_char(printer->out, '[');
    for (uint32_t i = 0; i < list->count; i++) {
        buf_add_str(printer->out, i > 0 ? STR(", ") : STR(""));
        cidr_write(printer->out, &list->at[i]);
    }
    buf_add_char(printer->out, ']');
}

static void cidrs_schema(struct printer *printer, const struct field *field, const void *base)
{
    kind_texts.schema(printer, field, base);
}

const struct kind kind_cidrs = {.width = sizeof(struct cidr_list),
                                .expected =
                                    "a list of addresses or blocks such as [\"10.0.0.0/8\"]",
                                .from_text = cidrs_from_text,
                                .from_node = cidrs_from_node,
                                .print = cidrs_print,
                                .schema = cidrs_schema};
