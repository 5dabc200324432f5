/* warm.c - POST and GET /system/cache/warm, and cache.warm of the configuration.
 *
 * The question is answered when the last URL has its result, or after `wait` (10 s unless
 * told): then with 202, what is known so far, and an id under which GET tells the rest. A
 * path alone is fetched for the host that the operator asked, at the port of the first
 * listener, because that is the key under which clients of this machine will look. The
 * last sixteen warmings are remembered. Main thread; the fetching is a worker's. */
#include "admin/admin_priv.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

enum {
    MOST_URLS = 10000,
    MOST_URL_BYTES = 8192,
    WAIT_USUAL_S = 10,
    WAIT_MOST_S = 60,
    WORK_BLOCK = 64 * 1024,
    WORK_BYTES = 4 * 1024 * 1024
};

/* A question that waits for its warming. */
struct warm_wait {
    struct warm_wait *next;
    struct call *call;
    struct warm_entry *entry;
    struct deadline due;
};

/* ---- what to fetch ---- */

struct targets {
    struct arena *arena;
    struct warm_target *at;
    uint32_t count;
    struct str authority; /* for a path alone; ptr NULL: out of memory */
    bool is_tls;
};

/* "http://0.0.0.0:8080 …" or "unix:/…": how clients reach the first listener, as `host`. */
static void read_listener(struct admin *admin, struct str host, struct targets *targets)
{
    struct buf urls = buf_new(WORK_BLOCK);
    struct str first, address, name;
    uint16_t port = 0;

    if (admin->hooks.write_urls != NULL)
        admin->hooks.write_urls(admin->hooks.arg, &urls);
    first = str_at(urls.ptr, str_find(buf_str(&urls), ' '));
    targets->is_tls = str_starts(first, STR("https://"));
    address = str_from(first, targets->is_tls ? 8 : 7);
    if (str_starts(first, STR("unix:")) || !http_parse_authority(address, &name, &port))
        port = 0;
    if (host.len == 0)
        host = port == 0 || str_eq(name, STR("0.0.0.0")) || str_eq(name, STR("[::]"))
                   ? STR("127.0.0.1")
                   : name;
    targets->authority = port == 0 || port == (targets->is_tls ? 443 : 80)
                             ? arena_copy(targets->arena, host)
                             : arena_printf(targets->arena, "%.*s:%u", STR_ARG(host), port);
    buf_free(&urls);
}

static bool is_visible(struct str url)
{
    for (size_t i = 0; i < url.len; i++)
        if (url.ptr[i] <= ' ' || url.ptr[i] == 0x7f)
            return false;
    return true;
}

/* False: no URL, or one that no client could ask for. */
static bool add_target(struct targets *targets, struct str text)
{
    struct warm_target *target = &targets->at[targets->count];
    struct str url = str_at(text.ptr, str_find(text, '#')), host;
    size_t slash;
    uint16_t port;

    if (url.len == 0 || url.len > MOST_URL_BYTES || !is_visible(url))
        return false;
    *target = (struct warm_target){.url = text};
    if (url.ptr[0] == '/') {
        target->authority = targets->authority;
        target->target = url;
        target->is_tls = targets->is_tls;
    } else {
        target->is_tls = str_starts(url, STR("https://"));
        if (!target->is_tls && !str_starts(url, STR("http://")))
            return false;
        url = str_from(url, target->is_tls ? 8 : 7);
        slash = str_find(url, '/');
        target->authority = str_at(url.ptr, slash);
        target->target = slash < url.len ? str_from(url, slash) : STR("/");
        if (!http_parse_authority(target->authority, &host, &port))
            return false;
    }
    targets->count++;
    return true;
}

/* ---- warmings ---- */

static void answer_progress(struct call *call, const struct warming *warming, bool is_over);

static void answer_waiting(struct warm_wait *wait)
{
    struct admin *admin = wait->call->admin;
    struct warm_wait **at = &admin->warm.waiting;
    struct call *call = wait->call;

    while (*at != wait)
        at = &(*at)->next;
    *at = wait->next;
    deadline_clear(admin->loop, &wait->due);
    answer_progress(call, wait->entry->warming, wait->entry->is_heard);
    free(wait);
    call_conclude(call);
}

static void on_due(void *arg)
{
    answer_waiting(arg);
}

static void on_over(void *arg)
{
    struct warm_entry *entry = arg;

    entry->is_heard = true;
    for (struct warm_wait *wait = entry->admin->warm.waiting, *next; wait != NULL; wait = next) {
        next = wait->next;
        if (wait->entry == entry)
            answer_waiting(wait);
    }
}

/* The place of the oldest that is over; NULL: all are under way. */
static struct warm_entry *free_entry(struct admin *admin)
{
    struct warm_entry *oldest = NULL;

    for (uint32_t i = 0; i < COUNT_OF(admin->warm.entries); i++) {
        struct warm_entry *entry = &admin->warm.entries[i];

        if (entry->warming == NULL)
            return entry;
        if (entry->is_heard &&
            (oldest == NULL || warming_id(entry->warming) < warming_id(oldest->warming)))
            oldest = entry;
    }
    return oldest;
}

/* NULL: out of memory, or no worker runs. */
static struct warm_entry *start(struct admin *admin, const struct targets *targets)
{
    struct warm_entry *entry = free_entry(admin);
    struct post over = {.fn = on_over, .arg = entry};

    if (entry == NULL || admin->hooks.warm == NULL)
        return NULL;
    warming_release(&entry->warming);
    *entry = (struct warm_entry){.admin = admin};
    entry->warming =
        warming_new(++admin->warm.last_id, targets->at, targets->count, admin->loop, &over);
    if (entry->warming != NULL && admin->hooks.warm(admin->hooks.arg, entry->warming))
        return entry;
    warming_release(&entry->warming);
    return NULL;
}

void warm_configured(struct admin *admin, const struct config *config)
{
    const struct str_list *urls = &config->cache.warm_urls;
    struct targets targets = {.arena = arena_new(WORK_BLOCK, WORK_BYTES)};
    struct warm_entry *entry = NULL;

    if (urls->count == 0 || !config->cache.enabled || targets.arena == NULL)
        goto done;
    read_listener(admin, STR_NONE, &targets);
    targets.at = arena_take(targets.arena, urls->count * sizeof(*targets.at));
    if (targets.at == NULL || targets.authority.ptr == NULL)
        goto done;
    for (uint32_t i = 0; i < urls->count; i++)
        if (!add_target(&targets, urls->at[i]))
            log_line(LOG_WARN, "cache.warm.urls[%u]: no client could ask for this", i);
    entry = start(admin, &targets);
    if (entry == NULL)
        log_line(LOG_WARN, "cache.warm: could not be started");
    else
        entry->gates_ready = config->cache.warm_before_ready && !admin->warm.has_been_ready;
done:
    admin->warm.has_been_ready = true;
    arena_free(&targets.arena);
}

bool warm_holds_ready(const struct admin *admin)
{
    for (uint32_t i = 0; i < COUNT_OF(admin->warm.entries); i++)
        if (admin->warm.entries[i].gates_ready && !admin->warm.entries[i].is_heard)
            return true;
    return false;
}

void warm_end(struct admin *admin)
{
    while (admin->warm.waiting != NULL) {
        struct warm_wait *wait = admin->warm.waiting;

        admin->warm.waiting = wait->next;
        deadline_clear(admin->loop, &wait->due);
        free(wait);
    }
    for (uint32_t i = 0; i < COUNT_OF(admin->warm.entries); i++)
        warming_release(&admin->warm.entries[i].warming);
}

/* ---- answers ---- */

static void answer_progress(struct call *call, const struct warming *warming, bool is_over)
{
    static const char *const names[] = {
        [WARM_WAITING] = "waiting", [WARM_FETCHING] = "fetching",     [WARM_STORED] = "stored",
        [WARM_FRESH] = "fresh",     [WARM_NOT_STORED] = "not_stored", [WARM_FAILED] = "failed"};
    struct buf *out = &call->question->text;
    uint32_t counts[COUNT_OF(names)] = {0};

    buf_addf(out, "{\"id\":%" PRIu64 ",\"done\":%s,\"total\":%u,\"urls\":[", warming_id(warming),
             is_over ? "true" : "false", warming_count(warming));
    for (uint32_t i = 0; i < warming_count(warming); i++) {
        struct warm_result result = warming_result(warming, i);

        counts[result.state]++;
        buf_add_str(out, i > 0 ? STR(",{\"url\":") : STR("{\"url\":"));
        buf_add_json(out, result.url);
        buf_addf(out, ",\"state\":\"%s\"", names[result.state]);
        if (result.status != 0)
            buf_addf(out, ",\"status\":%d", result.status);
        if (result.why != NULL)
            buf_addf(out, ",\"reason\":\"%s\"", result.why);
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
    for (size_t i = 0; i < COUNT_OF(names); i++)
        buf_addf(out, ",\"%s\":%u", names[i], counts[i]);
    buf_add_char(out, '}');
    call->detail = arena_printf(call->question->arena, "urls=%u stored=%u", warming_count(warming),
                                counts[WARM_STORED]);
    answer_json(call, is_over ? 200 : 202);
}

void get_cache_warm(struct call *call)
{
    struct admin *admin = call->admin;
    const struct warm_entry *found = NULL;
    uint64_t id = admin->warm.last_id;

    if (!parameter_number(call, "id", 1, INT64_MAX, &id))
        return;
    for (uint32_t i = 0; i < COUNT_OF(admin->warm.entries); i++)
        if (admin->warm.entries[i].warming != NULL &&
            warming_id(admin->warm.entries[i].warming) == id)
            found = &admin->warm.entries[i];
    if (found == NULL) {
        answer_refusal(call, 404, "id: no such warming is remembered.");
        return;
    }
    answer_progress(call, found->warming, found->is_heard);
    call->question->status = 200; /* progress is what was asked for */
}

/* ---- POST ---- */

/* False: answered. */
static bool read_urls(struct call *call, const cJSON *json, struct targets *targets)
{
    const cJSON *urls = cJSON_GetObjectItemCaseSensitive(json, "urls"), *url;
    uint32_t index = 0;
    int count = cJSON_GetArraySize(urls);

    if (!cJSON_IsObject(json) || json->child == NULL || json->child->next != NULL ||
        !cJSON_IsArray(urls) || count == 0 || count > MOST_URLS) {
        answer_refusal(call, 400, "body: must be {\"urls\": [...]}, with 1 to %d of them.",
                       MOST_URLS);
        return false;
    }
    targets->at = arena_take(targets->arena, (size_t)count * sizeof(*targets->at));
    if (targets->at == NULL || targets->authority.ptr == NULL) {
        answer_refusal(call, 503, "There is not enough memory to warm.");
        return false;
    }
    cJSON_ArrayForEach(url, urls)
    {
        if (!cJSON_IsString(url) || !add_target(targets, str_of(url->valuestring))) {
            answer_refusal(call, 400,
                           "urls[%u]: must be /path?query, or begin with http:// or https://.",
                           index);
            return false;
        }
        index++;
    }
    return true;
}

static void wait_for(struct call *call, struct warm_entry *entry, uint64_t wait_s)
{
    struct admin *admin = call->admin;
    struct warm_wait *wait = wait_s > 0 ? calloc(1, sizeof(*wait)) : NULL;

    if (wait != NULL) {
        wait->call = call;
        wait->entry = entry;
        wait->due = (struct deadline){.fn = on_due, .arg = wait};
        if (deadline_set(admin->loop, &wait->due, loop_now_us(admin->loop) + wait_s * 1000000)) {
            wait->next = admin->warm.waiting;
            admin->warm.waiting = wait;
            call->is_pending = true;
            return;
        }
        free(wait);
    }
    answer_progress(call, entry->warming, entry->is_heard);
}

static void warm(struct call *call, const cJSON *json, struct arena *arena, uint64_t wait_s)
{
    struct targets targets = {.arena = arena};
    struct warm_entry *entry;
    struct str host = STR_NONE, text = http_fields_get(call->question->fields, HTTP_HOST);
    uint16_t port;

    if (text.ptr == NULL || !http_parse_authority(text, &host, &port))
        host = STR_NONE;
    read_listener(call->admin, host, &targets);
    if (!read_urls(call, json, &targets))
        return;
    if (!call->config->cache.enabled || call->admin->shared->is_draining) {
        answer_refusal(call, 409, "The cache is off, or the gateway drains.");
        return;
    }
    entry = start(call->admin, &targets);
    if (entry == NULL)
        answer_refusal(call, 503, "As many warmings as can be remembered are under way.");
    else
        wait_for(call, entry, wait_s);
}

void post_cache_warm(struct call *call)
{
    struct str body = call->question->body;
    struct arena *arena = arena_new(WORK_BLOCK, WORK_BYTES);
    uint64_t wait_s = WAIT_USUAL_S;
    cJSON *json = NULL;

    if (!parameter_number(call, "wait", 0, WAIT_MOST_S, &wait_s))
        goto done;
    if (arena == NULL) {
        answer_refusal(call, 503, "There is not enough memory to warm.");
        goto done;
    }
    json = cJSON_ParseWithLength(body.ptr, body.len);
    warm(call, json, arena, wait_s);
done:
    cJSON_Delete(json);
    arena_free(&arena);
}
