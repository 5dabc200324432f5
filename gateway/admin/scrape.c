/* scrape.c - metrics of the containers around us, from a cAdvisor or a Prometheus.
 *
 * The answer is read line by line as it comes, so that its size costs no memory; past a ceiling,
 * or after ten seconds, it is given up. A scrape that fails keeps what is known, and the endpoint
 * says why. Main thread. */
#include "admin/admin_priv.h"
#include "client/client.h"

#include <stdlib.h>

#define FETCH_US   10000000
#define CONNECT_MS 2000
#define MOST_BYTES (64 * 1024 * 1024)
/* match[]={__name__=~"container_(…)|kube_pod_container_(…)"} */
#define FEDERATE                                                                                   \
    "/federate?match%5B%5D=%7B__name__%3D~%22container_(cpu_usage_seconds_total%7Cmemory_working_" \
    "set_bytes%7Cspec_.*%7Ccpu_cfs_.*%7Cstart_time_seconds%7Coom_events_total)%7Ckube_pod_"        \
    "container_(resource_requests%7Cresource_limits%7Cstatus_restarts_total)%22%7D"

struct scrape {
    struct loop *loop;
    struct client *client;
    struct client_target target;
    char *url, *host, *authority, *path; /* owned */
    struct client_exchange *exchange;
    struct deadline give_up;
    struct advise_lines lines;
    struct advise_neighbours neighbours;
    uint64_t bytes;
    int status;
    const char *why;
};

static void end_scrape(struct scrape *scrape, const char *why)
{
    deadline_clear(scrape->loop, &scrape->give_up);
    if (why == NULL && scrape->status != 200)
        why = "it answered another status than 200";
    if (why == NULL && scrape->bytes > MOST_BYTES)
        why = "it answered too much";
    if (why == NULL)
        advise_neighbours_end(&scrape->neighbours, loop_now_us(scrape->loop));
    scrape->why = why;
}

static void on_head(void *arg, int status, const struct http_fields *fields,
                    const struct http_answer_facts *facts)
{
    struct scrape *scrape = arg;

    (void)fields;
    (void)facts;
    scrape->status = status;
}

static bool on_body(void *arg, struct str bytes)
{
    struct scrape *scrape = arg;

    scrape->bytes += bytes.len;
    if (scrape->status == 200 && scrape->bytes <= MOST_BYTES)
        advise_lines_feed(&scrape->lines, bytes, advise_neighbours_take, &scrape->neighbours);
    return true;
}

static void on_done(void *arg, enum client_outcome outcome, const char *reason)
{
    struct scrape *scrape = arg;

    scrape->exchange = NULL;
    if (outcome == CLIENT_OK) /* the last line may lack its end */
        advise_lines_feed(&scrape->lines, STR("\n"), advise_neighbours_take, &scrape->neighbours);
    end_scrape(scrape,
               outcome == CLIENT_OK ? NULL : (reason != NULL ? reason : "it could not be reached"));
}

static const struct client_handler handler = {.head = on_head, .body = on_body, .done = on_done};

static void on_give_up(void *arg)
{
    struct scrape *scrape = arg;

    client_cancel(&scrape->exchange);
    end_scrape(scrape, "it took too long");
}

static bool start(struct scrape *scrape, struct arena *arena)
{
    struct http_fields fields;
    struct client_request request = {
        .target = &scrape->target,
        .method = STR("GET"),
        .path = str_of(scrape->path),
        .host = str_of(scrape->authority),
        .fields = &fields,
        .body = CLIENT_BODY_NONE,
        .connect_timeout_ms = CONNECT_MS,
    };

    if (arena == NULL || !http_fields_init(&fields, arena, 4) ||
        !http_fields_add_id(&fields, HTTP_ACCEPT, STR("text/plain;version=0.0.4")))
        return false;
    scrape->exchange = client_start(scrape->client, &request, &handler, scrape);
    return scrape->exchange != NULL;
}

void scrape_start(struct scrape *scrape)
{
    struct arena *arena = arena_new(1024, 16 * 1024);

    client_cancel(&scrape->exchange);
    scrape->lines.len = 0;
    scrape->lines.is_long = false;
    scrape->bytes = 0;
    scrape->status = 0;
    advise_neighbours_begin(&scrape->neighbours);
    if (!deadline_set(scrape->loop, &scrape->give_up, loop_now_us(scrape->loop) + FETCH_US) ||
        !start(scrape, arena))
        end_scrape(scrape, "out of memory");
    arena_free(&arena);
}

/* ---- building ---- */

static const struct service_config *service_of(const struct resources_config *config)
{
    return config->prometheus.url.len > 0 ? &config->prometheus : &config->cadvisor;
}

static char *copy(struct str text)
{
    return strndup(text.len > 0 ? text.ptr : "", text.len);
}

static bool use(struct scrape *scrape, const struct resources_config *config)
{
    const struct service_config *service = service_of(config);
    struct str rest = str_from(service->url, service->is_https ? 8 : 7), path = service->path;

    if (str_eq(path, STR("/")))
        path = config->prometheus.url.len > 0 ? STR(FEDERATE) : STR("/metrics");
    scrape->url = copy(service->url);
    scrape->host = copy(service->host);
    scrape->authority = copy(str_at(rest.ptr, str_find(rest, '/')));
    scrape->path = copy(path);
    if (scrape->url == NULL || scrape->host == NULL || scrape->authority == NULL ||
        scrape->path == NULL)
        return false;
    scrape->target = (struct client_target){.is_https = service->is_https,
                                            .host = str_of(scrape->host),
                                            .port = service->port,
                                            .tls_verify = true};
    return true;
}

struct scrape *scrape_new(struct loop *loop, const struct resources_config *config)
{
    static const struct client_options options = {.keepalive = 1,
                                                  .idle_timeout_ms = 60000,
                                                  .max_headers = 100,
                                                  .max_header_bytes = 32 * 1024};
    struct scrape *scrape;
    struct fail why;

    if (service_of(config)->url.len == 0 || (scrape = calloc(1, sizeof(*scrape))) == NULL)
        return NULL;
    scrape->loop = loop;
    scrape->give_up = (struct deadline){.fn = on_give_up, .arg = scrape};
    scrape->client = client_new(loop, &options, &why);
    if (scrape->client == NULL || !use(scrape, config))
        scrape_free(&scrape);
    return scrape;
}

void scrape_free(struct scrape **scrape)
{
    struct scrape *old = *scrape;

    *scrape = NULL;
    if (old == NULL)
        return;
    client_cancel(&old->exchange);
    deadline_clear(old->loop, &old->give_up);
    if (old->client != NULL)
        client_free(&old->client);
    advise_neighbours_free(&old->neighbours);
    free(old->url);
    free(old->host);
    free(old->authority);
    free(old->path);
    free(old);
}

bool scrape_is_of(const struct scrape *scrape, const struct resources_config *config)
{
    return str_eq(str_of(scrape->url), service_of(config)->url);
}

const struct advise_neighbours *scrape_neighbours(const struct scrape *scrape)
{
    return &scrape->neighbours;
}

struct str scrape_url(const struct scrape *scrape)
{
    return str_of(scrape->url);
}

const char *scrape_why(const struct scrape *scrape)
{
    return scrape->why;
}
