/* fetcher.c - public keys of tokens, from the URL where their signer publishes them.
 *
 * One fetch at a time, for the whole process, on the main thread. It runs at the start, again
 * when the answer's max-age is over, and when a token names a key that nobody knows; the last
 * kind is paced, twice as slow each time it brings nothing new, so that invented key ids cannot
 * make us a flood. A fetch that fails changes nothing: the old keys stay, for a day at most.
 * Answers are bounded in time and size; redirects are not followed. Main thread. */
#include "client/client.h"
#include "identify/identify_priv.h"

#include <stdlib.h>

#define FETCH_US       3000000 /* longest, from the start to the last byte */
#define CONNECT_MS     2000
#define BODY_MOST      (256 * 1024)
#define LIFE_LEAST_S   60
#define LIFE_MOST_S    3600
#define LIFE_USUAL_S   600
#define RETRY_LEAST_US 1000000
#define RETRY_MOST_US  30000000
#define PACE_LEAST_US  2000000
#define PACE_MOST_US   60000000
#define KEEP_US        (24 * UINT64_C(3600000000))

struct identify_fetcher {
    struct identify_shared *shared;
    struct loop *loop;
    struct client *client;
    struct str url; /* owned; empty: nothing to fetch */
    struct fetcher_url parts;
    struct client_target target;
    struct client_exchange *exchange;
    struct buf body;
    int status;
    int64_t life_s;
    bool is_asked; /* the fetch under way is for an unknown key */
    bool has_keys;
    uint64_t fetched_us, retry_us, pace_us;
    struct deadline give_up, again;
    struct identify_memory *askers;
    struct hash128 last; /* of the text: has it changed? */
    struct cell *good, *bad, *keys;
};

/* ---- URLs ---- */

bool fetcher_url_parse(struct str url, struct fetcher_url *parts)
{
    size_t slash;

    parts->is_https = str_starts(url, STR("https://"));
    if (!parts->is_https && !str_starts(url, STR("http://")))
        return false;
    url = str_from(url, parts->is_https ? 8 : 7);
    slash = str_find(url, '/');
    parts->authority = str_at(url.ptr, slash);
    parts->path = slash < url.len ? str_from(url, slash) : STR("/");
    for (size_t i = 0; i < parts->path.len; i++)
        if (parts->path.ptr[i] <= ' ' || parts->path.ptr[i] > '~' || parts->path.ptr[i] == '#')
            return false;
    if (!http_parse_authority(parts->authority, &parts->host, &parts->port))
        return false;
    if (parts->port == 0)
        parts->port = parts->is_https ? 443 : 80;
    return true;
}

/* ---- the end of a fetch ---- */

static void answer_askers(struct identify_fetcher *fetcher)
{
    while (fetcher->askers != NULL) {
        struct identify_memory *memory = fetcher->askers;

        fetcher->askers = memory->next;
        loop_post(memory->loop, &memory->back);
    }
}

static void set_again(struct identify_fetcher *fetcher, uint64_t in_us)
{
    CHECK(deadline_set(fetcher->loop, &fetcher->again, loop_now_us(fetcher->loop) + in_us));
}

/* An unknown key may be asked for after this long. */
static void set_pace(struct identify_fetcher *fetcher, bool is_new)
{
    if (is_new || !fetcher->is_asked)
        fetcher->pace_us = PACE_LEAST_US;
    else if (fetcher->pace_us < PACE_MOST_US / 2)
        fetcher->pace_us *= 2;
    else
        fetcher->pace_us = PACE_MOST_US;
    /* the first unknown key after a planned fetch may be a key that has just come */
    shared_set_refetch(fetcher->shared,
                       loop_now_us(fetcher->loop) + (fetcher->is_asked ? fetcher->pace_us : 0));
}

static void on_bad(struct identify_fetcher *fetcher, const char *reason)
{
    uint64_t now_us = loop_now_us(fetcher->loop);
    bool is_old = fetcher->has_keys && now_us - fetcher->fetched_us > KEEP_US;

    cell_add(fetcher->bad, 1);
    if (is_old) {
        fetcher->has_keys = false;
        cell_gauge_set(fetcher->keys, 0);
        shared_put_keys(fetcher->shared, NULL);
    }
    log_line(LOG_WARN, "identity.jwt.jwks_url: no keys came (%s); %s", reason,
             fetcher->has_keys ? "the old ones stay" : "tokens of its signer are refused");
    fetcher->retry_us = fetcher->retry_us == 0 ? RETRY_LEAST_US : fetcher->retry_us * 2;
    if (fetcher->retry_us > RETRY_MOST_US)
        fetcher->retry_us = RETRY_MOST_US;
    /* until the next try nothing is known that could be asked for */
    set_pace(fetcher, false);
    shared_set_refetch(fetcher->shared, now_us + fetcher->retry_us);
    set_again(fetcher, fetcher->retry_us);
}

static bool is_same(const struct hash128 *a, const struct hash128 *b)
{
    return a->lo == b->lo && a->hi == b->hi;
}

static void on_good(struct identify_fetcher *fetcher, struct jwt_keys *keys)
{
    static const struct hash_key plain = {{0, 0}};
    struct hash128 now = hash_sip128(&plain, buf_str(&fetcher->body));
    bool is_new = !fetcher->has_keys || !is_same(&now, &fetcher->last);

    cell_add(fetcher->good, 1);
    cell_gauge_set(fetcher->keys, jwt_keys_count(keys));
    if (is_new) {
        log_line(LOG_INFO, "identity.jwt.jwks_url: %u keys", jwt_keys_count(keys));
        shared_put_keys(fetcher->shared, keys); /* workers forget what they verified with others */
        keys = NULL;
    }
    jwt_keys_release(&keys);
    fetcher->last = now;
    fetcher->has_keys = true;
    fetcher->fetched_us = loop_now_us(fetcher->loop);
    fetcher->retry_us = 0;
    set_pace(fetcher, is_new);
    set_again(fetcher, (uint64_t)fetcher->life_s * 1000000);
}

static void end_fetch(struct identify_fetcher *fetcher, const char *reason)
{
    struct fail why = {""};
    struct jwt_keys *keys = NULL;

    deadline_clear(fetcher->loop, &fetcher->give_up);
    if (reason == NULL && fetcher->status != 200)
        reason = "another status than 200";
    if (reason == NULL) {
        keys = jwt_keys_read(buf_str(&fetcher->body), fetcher->url, &why);
        reason = keys == NULL ? why.text : NULL;
    }
    if (reason != NULL)
        on_bad(fetcher, reason);
    else
        on_good(fetcher, keys);
    fetcher->is_asked = false;
    buf_free(&fetcher->body);
    answer_askers(fetcher);
}

/* ---- a fetch ---- */

static void on_head(void *arg, int status, const struct http_fields *fields,
                    const struct http_answer_facts *facts)
{
    struct identify_fetcher *fetcher = arg;
    struct http_cache_control control;

    (void)facts;
    fetcher->status = status;
    http_cache_control_parse(fields, false, &control);
    fetcher->life_s = control.max_age >= 0 ? control.max_age : LIFE_USUAL_S;
    if (fetcher->life_s < LIFE_LEAST_S)
        fetcher->life_s = LIFE_LEAST_S;
    if (fetcher->life_s > LIFE_MOST_S)
        fetcher->life_s = LIFE_MOST_S;
}

/* Over its ceiling the buffer is broken, which on_done() sees. */
static bool on_body(void *arg, struct str bytes)
{
    struct identify_fetcher *fetcher = arg;

    (void)buf_add_str(&fetcher->body, bytes);
    return true;
}

static void on_done(void *arg, enum client_outcome outcome, const char *reason)
{
    struct identify_fetcher *fetcher = arg;

    fetcher->exchange = NULL;
    if (outcome != CLIENT_OK)
        end_fetch(fetcher, reason != NULL ? reason : "the exchange failed");
    else
        end_fetch(fetcher, fetcher->body.is_broken ? "the answer is too large" : NULL);
}

static const struct client_handler handler = {.head = on_head, .body = on_body, .done = on_done};

static void on_give_up(void *arg)
{
    struct identify_fetcher *fetcher = arg;

    client_cancel(&fetcher->exchange);
    end_fetch(fetcher, "it took too long");
}

static bool start(struct identify_fetcher *fetcher, struct arena *arena)
{
    struct http_fields fields;
    struct client_request request = {
        .target = &fetcher->target,
        .method = STR("GET"),
        .path = fetcher->parts.path,
        .host = fetcher->parts.authority,
        .fields = &fields,
        .body = CLIENT_BODY_NONE,
        .connect_timeout_ms = CONNECT_MS,
    };

    if (arena == NULL || !http_fields_init(&fields, arena, 4) ||
        !http_fields_add_id(&fields, HTTP_ACCEPT,
                            STR("application/json, application/jwk-set+json")))
        return false;
    fetcher->exchange = client_start(fetcher->client, &request, &handler, fetcher);
    return fetcher->exchange != NULL;
}

static void fetch(struct identify_fetcher *fetcher)
{
    struct arena *arena;

    if (fetcher->exchange != NULL || fetcher->url.len == 0)
        return;
    arena = arena_new(1024, 16 * 1024);
    fetcher->body = buf_new(BODY_MOST);
    fetcher->status = 0;
    fetcher->life_s = LIFE_USUAL_S;
    deadline_clear(fetcher->loop, &fetcher->again);
    CHECK(deadline_set(fetcher->loop, &fetcher->give_up, loop_now_us(fetcher->loop) + FETCH_US));
    if (!start(fetcher, arena))
        end_fetch(fetcher, "out of memory");
    arena_free(&arena);
}

static void on_again(void *arg)
{
    fetch(arg);
}

/* ---- being asked ---- */

struct loop *fetcher_loop(struct identify_fetcher *fetcher)
{
    return fetcher->loop;
}

void fetcher_is_asked(void *arg)
{
    struct identify_memory *memory = arg;
    struct identify_fetcher *fetcher = shared_fetcher(memory->shared);

    memory->next = fetcher->askers;
    fetcher->askers = memory;
    if (fetcher->exchange != NULL)
        return;
    if (fetcher->url.len > 0 && shared_may_refetch(fetcher->shared, loop_now_us(fetcher->loop))) {
        fetcher->is_asked = true;
        fetch(fetcher);
    } else {
        answer_askers(fetcher);
    }
}

/* ---- building ---- */

static void name_cells(struct identify_fetcher *fetcher, struct sheet *sheet)
{
    struct str good = STR("ok"), bad = STR("failed");

    fetcher->good = metrics_series(sheet, M_JWKS_FETCHES, 1, &good);
    fetcher->bad = metrics_series(sheet, M_JWKS_FETCHES, 1, &bad);
    fetcher->keys = metrics_cell(sheet, M_JWKS_KEYS);
}

struct identify_fetcher *identify_fetcher_new(struct identify_shared *shared, struct loop *loop,
                                              struct sheet *sheet, struct fail *why)
{
    static const struct client_options options = {
        .keepalive = 0, .idle_timeout_ms = 1000, .max_headers = 100, .max_header_bytes = 32 * 1024};
    struct identify_fetcher *fetcher = calloc(1, sizeof(*fetcher));

    if (fetcher == NULL) {
        fail_set(why, "out of memory");
        return NULL;
    }
    fetcher->shared = shared;
    fetcher->loop = loop;
    fetcher->give_up = (struct deadline){.fn = on_give_up, .arg = fetcher};
    fetcher->again = (struct deadline){.fn = on_again, .arg = fetcher};
    name_cells(fetcher, sheet);
    fetcher->client = client_new(loop, &options, why);
    if (fetcher->client == NULL)
        identify_fetcher_free(&fetcher);
    else
        shared_set_fetcher(shared, fetcher);
    return fetcher;
}

static void stop(struct identify_fetcher *fetcher)
{
    client_cancel(&fetcher->exchange);
    deadline_clear(fetcher->loop, &fetcher->give_up);
    deadline_clear(fetcher->loop, &fetcher->again);
    buf_free(&fetcher->body);
    free((void *)(uintptr_t)fetcher->url.ptr);
    fetcher->url = STR_NONE;
}

void identify_fetcher_free(struct identify_fetcher **fetcher)
{
    struct identify_fetcher *old = *fetcher;

    *fetcher = NULL;
    if (old == NULL)
        return;
    shared_set_fetcher(old->shared, NULL);
    stop(old);
    client_free(&old->client);
    free(old);
}

void identify_fetcher_use(struct identify_fetcher *fetcher, const struct config *config)
{
    struct str url = config->identity.jwt.jwks_url;
    char *copy;

    if (str_eq(url, fetcher->url))
        return;
    stop(fetcher);
    fetcher->has_keys = fetcher->is_asked = false;
    fetcher->retry_us = 0;
    cell_gauge_set(fetcher->keys, 0);
    shared_put_keys(fetcher->shared, NULL);
    shared_set_refetch(fetcher->shared, 0);
    copy = url.len > 0 ? strndup(url.ptr, url.len) : NULL;
    if (copy != NULL && fetcher_url_parse(str_of(copy), &fetcher->parts)) {
        fetcher->url = str_of(copy); /* NOLINT(clang-analyzer-unix.Malloc): freed by stop() */
        fetcher->target = (struct client_target){
            .is_https = fetcher->parts.is_https,
            .host = fetcher->parts.host,
            .port = fetcher->parts.port,
            .tls_verify = true,
        };
        fetch(fetcher);
    } else {
        free(copy);
    }
    if (fetcher->exchange == NULL)
        answer_askers(fetcher);
}
