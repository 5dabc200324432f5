/* url.c - where a Redis is, as an operator writes it.
 *
 *   redis://[user:password@]host[:6379][/db]
 *   redis:///path/of.sock, redis+unix:///path/of.sock?db=N
 *   redis+sentinel://[user:password@]h1[:26379],h2/master[/db]
 *   redis+cluster://[user:password@]h1[:6379],h2
 *   and the same with TLS: rediss://, rediss+sentinel://, rediss+cluster://
 *
 * "redis://secret@host" (no colon) is a password without a user, as redis-cli and most
 * clients take ":secret@". User and password are percent-decoded. No reason holds a secret.
 *
 * Any thread; no state. */
#include "redis/redis_priv.h"

#include <stdio.h>

enum { REDIS_PORT = 6379, SENTINEL_PORT = 26379, MAX_DATABASE = 65535 };

static bool copy_text(struct str text, char *to, size_t room)
{
    if (text.len >= room || memchr(text.ptr != NULL ? text.ptr : "", '\0', text.len) != NULL)
        return false;
    if (text.len > 0)
        memcpy(to, text.ptr, text.len);
    to[text.len] = '\0';
    return true;
}

static bool decode(struct str text, char *to, size_t room)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '%') {
            int high = i + 2 < text.len ? ascii_hex_value(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? ascii_hex_value(text.ptr[i + 2]) : -1;

            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (len + 1 >= room || c == '\0')
            return false;
        to[len++] = c;
    }
    to[len] = '\0';
    return true;
}

bool place_eq(const struct redis_place *a, const struct redis_place *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static size_t last_of(struct str text, char c)
{
    size_t at = text.len;

    while (at > 0 && text.ptr[at - 1] != c)
        at--;
    return at == 0 ? text.len : at - 1;
}

static bool port_parse(struct str text, uint16_t *port)
{
    uint64_t value;

    if (!str_to_u64(text, &value) || value == 0 || value > UINT16_MAX)
        return false;
    *port = (uint16_t)value;
    return true;
}

bool place_parse(struct str text, uint16_t default_port, struct redis_place *place)
{
    size_t colon = last_of(text, ':');
    struct str host = str_at(text.ptr, colon);

    place->port = default_port;
    if (str_starts(text, STR("["))) {
        size_t close = last_of(text, ']');
        struct str rest = str_from(text, close + 1);

        if (close == text.len || (rest.len > 0 && rest.ptr[0] != ':'))
            return false;
        return (rest.len == 0 || port_parse(str_from(rest, 1), &place->port)) &&
               copy_text(str_at(text.ptr + 1, close - 1), place->host, sizeof(place->host));
    }
    if (colon < text.len && !port_parse(str_from(text, colon + 1), &place->port))
        return false;
    return copy_text(host, place->host, sizeof(place->host));
}

static bool read_user(struct str *rest, struct redis_url *url, struct fail *why)
{
    size_t slash = str_find(*rest, '/');
    size_t at = last_of(str_at(rest->ptr, slash), '@');
    struct str who, user = STR_NONE;

    if (at == slash)
        return true;
    who = str_at(rest->ptr, at);
    *rest = str_from(*rest, at + 1);
    if (str_find(who, ':') < who.len)
        (void)str_split(&who, ':', &user);
    if (!decode(user, url->user, sizeof(url->user)) ||
        !decode(who, url->password, sizeof(url->password)))
        return fail_set(why, "has a user or password that is too long or wrongly percent-encoded");
    if (url->user[0] != '\0' && url->password[0] == '\0')
        return fail_set(why, "has a user without a password");
    return true;
}

static bool read_places(struct str list, struct redis_url *url, struct fail *why)
{
    uint16_t port = url->kind == REDIS_SENTINEL ? SENTINEL_PORT : REDIS_PORT;
    struct str one;

    while (str_split(&list, ',', &one)) {
        one = str_trim(one);
        if (url->place_count == REDIS_MAX_PLACES)
            return fail_set(why, "names more than %d places", REDIS_MAX_PLACES);
        if (!place_parse(one, port, &url->places[url->place_count]) ||
            url->places[url->place_count].host[0] == '\0')
            return fail_set(why, "has no right host:port, expected host, host:port or [v6]:port");
        url->place_count++;
    }
    if (url->place_count == 0)
        return fail_set(why, "names no host");
    if (url->kind == REDIS_SERVER && url->place_count > 1)
        return fail_set(why, "names several hosts, expected redis+sentinel:// or "
                             "redis+cluster:// for them");
    return true;
}

static bool read_database(struct str text, struct redis_url *url, struct fail *why)
{
    uint64_t value = 0;

    if (text.len == 0)
        return true;
    if (!str_to_u64(text, &value) || value > MAX_DATABASE)
        return fail_set(why, "has no right database, expected a number such as /0");
    if (url->kind == REDIS_CLUSTER && value != 0)
        return fail_set(why, "names a database, but a Cluster has only 0");
    url->database = (uint32_t)value;
    return true;
}

static bool read_path(struct str rest, struct redis_url *url, struct fail *why)
{
    struct str path = str_at(rest.ptr, str_find(rest, '?'));
    struct str query = str_from(rest, path.len + 1);

    if (!copy_text(path, url->places[0].host, sizeof(url->places[0].host)) || path.len < 2 ||
        path.len >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return fail_set(why, "has no right path of a socket");
    url->place_count = 1;
    if (query.len == 0)
        return true;
    if (!str_starts(query, STR("db=")))
        return fail_set(why, "has an unknown parameter, expected ?db=N");
    return read_database(str_from(query, 3), url, why);
}

static bool read_scheme(struct str *rest, struct redis_url *url, struct fail *why)
{
    static const struct {
        const char *scheme;
        enum redis_kind kind;
        bool is_tls;
    } schemes[] = {{"redis://", REDIS_SERVER, false},
                   {"redis+unix://", REDIS_SERVER, false},
                   {"redis+sentinel://", REDIS_SENTINEL, false},
                   {"redis+cluster://", REDIS_CLUSTER, false},
                   {"rediss://", REDIS_SERVER, true},
                   {"rediss+sentinel://", REDIS_SENTINEL, true},
                   {"rediss+cluster://", REDIS_CLUSTER, true}};

    if (!REDIS_HAS_TLS && str_starts(*rest, STR("rediss")))
        return fail_set(why, "asks for TLS, which this build's hiredis does not have: expected "
                             "redis:// to a TLS tunnel (stunnel) on this machine, or a private "
                             "network");
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        if (!str_starts(*rest, str_of(schemes[i].scheme)))
            continue;
        url->kind = schemes[i].kind;
        url->is_tls = schemes[i].is_tls;
        *rest = str_from(*rest, strlen(schemes[i].scheme));
        return true;
    }
    return fail_set(why, "is no Redis URL, expected redis://, redis+sentinel:// or "
                         "redis+cluster://, with TLS rediss:// and so on");
}

bool redis_url_parse(struct str text, struct redis_url *url, struct fail *why)
{
    struct str rest = text, places;

    *url = (struct redis_url){0};
    if (!read_scheme(&rest, url, why) || !read_user(&rest, url, why))
        return false;
    if (url->kind == REDIS_SERVER && str_starts(rest, STR("/")))
        return url->is_tls ? fail_set(why, "names no host, and a unix socket has no TLS")
                           : read_path(rest, url, why);
    places = str_at(rest.ptr, str_find(rest, '/'));
    rest = str_from(rest, places.len + 1);
    if (!read_places(places, url, why))
        return false;
    if (url->kind == REDIS_SENTINEL) {
        struct str master = str_at(rest.ptr, str_find(rest, '/'));

        rest = str_from(rest, master.len + 1);
        if (master.len == 0 || !decode(master, url->master, sizeof(url->master)))
            return fail_set(why, "names no master, expected redis+sentinel://host,host/master");
    }
    return read_database(rest, url, why);
}

bool redis_url_for(const struct config *config, enum store_role role, struct redis_url *url,
                   struct fail *why)
{
    const struct store_config *store = &config->store;

    if (!redis_url_parse(store_url(config, role), url, why))
        return false;
    if (!copy_text(store->tls_ca, url->ca, sizeof(url->ca)) ||
        !copy_text(store->tls_cert, url->cert, sizeof(url->cert)) ||
        !copy_text(store->tls_key, url->key, sizeof(url->key)))
        return fail_set(why, "the name of a file in store.tls is longer than %d bytes",
                        REDIS_MAX_FILE);
    return true;
}

/* What the files are worth is known only here. */
static void check_tls(const struct config *config, const struct redis_url *url,
                      struct faults *faults)
{
    struct fail why = {""};
    struct tls_files *files = tls_files_new(url, &why);

    if (files == NULL)
        faults_add(faults, config, "store.tls", "%s", why.text);
    tls_files_free(&files);
}

void redis_check(const struct config *config, struct faults *faults)
{
    bool has_tls = false;
    char path[64];

    if ((config->store.tls_cert.len > 0) != (config->store.tls_key.len > 0)) {
        faults_add(faults, config, "store.tls", "has one of cert and key, expected both or none");
        return;
    }
    for (int role = STORE_MAIN; role < STORE_ROLES; role++) {
        struct redis_url url;
        struct fail why = {""};

        /* without an own one it is store.url's, which has been judged */
        if (role != STORE_MAIN &&
            str_eq(store_url(config, (enum store_role)role), config->store.url))
            continue;
        if (str_eq(store_url(config, (enum store_role)role), STR("memory:")))
            continue;
        snprintf(path, sizeof(path), role == STORE_MAIN ? "store.%surl" : "store.roles.%s.url",
                 store_role_name((enum store_role)role));
        if (!redis_url_for(config, (enum store_role)role, &url, &why)) {
            faults_add(faults, config, path, "%s", why.text);
        } else if (url.is_tls && !has_tls) {
            has_tls = true;
            check_tls(config, &url, faults);
        }
    }
}
