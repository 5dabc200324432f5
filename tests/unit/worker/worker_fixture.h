/* worker_fixture.h - a fleet without the process around it, and a client that blocks.
 *
 * The workers are real threads; the test's thread is the main thread. Every wait of the
 * client is bounded by its socket's timeout. Header only, because a unit test is one file. */
#ifndef WORKER_FIXTURE_H
#define WORKER_FIXTURE_H
#define server_connections script_connections /* server/ has one of that name */
#include "../client/script_server.h"
#undef server_connections
#include "worker/worker.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

struct house {
    struct request_shared shared;
    struct server_counts *counts;
    struct loop *loop;
    struct request_rules *rules;
    struct server_tls *tls;
    struct fleet *fleet;
    unsigned port;
};

static inline int logs_off(void **state)
{
    struct log_options options = {"off", "off", false, LOG_INFO};
    struct fail why = {""};

    (void)state;
    return log_open(&options, &why) ? 0 : -1;
}

static inline int logs_end(void **state)
{
    (void)state;
    log_close();
    return 0;
}

static inline struct config *config_of(const char *text)
{
    char path[] = "/tmp/worker_test_XXXXXX";
    char *const env[] = {NULL};
    int fd = mkstemp(path);
    struct faults *faults = faults_new();
    struct config *config;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    config = config_load(path, env, faults);
    unlink(path);
    if (config == NULL)
        fail_msg("configuration: %.*s", STR_ARG(faults_text(faults, 0)));
    faults_free(&faults);
    return config;
}

static inline void ask_nobody(void *arg, struct request_system *question)
{
    (void)arg;
    question->status = 500;
    request_system_done(question);
}

static inline void rules_of(struct house *house, const char *text)
{
    struct config *config = config_of(text);
    struct fail why = {""};

    assert_true(upstreams_adopt(house->shared.upstreams, config));
    house->rules = request_rules_new(config, &house->shared, &why);
    assert_non_null(house->rules);
    house->tls = server_tls_new(config, &why);
    assert_non_null(house->tls);
    config_release(&config);
}

static inline void house_start(struct house *house, const char *text)
{
    struct fleet_parts parts;
    struct fail why = {""};
    struct buf urls = buf_new(4096);
    bool bad_listener;

    *house = (struct house){.counts = server_counts_new(), .loop = loop_new(&why)};
    house->shared.seed = (struct hash_key){{1, 2}};
    house->shared.cache = cache_new(UINT64_C(16) << 20, UINT64_C(1) << 20, &house->shared.seed);
    house->shared.limiter = limiter_new(1000, &house->shared.seed);
    house->shared.upstreams = upstreams_new();
    house->shared.metrics = metrics_new();
    house->shared.system = ask_nobody;
    rules_of(house, text);
    parts = (struct fleet_parts){&house->shared, house->counts, house->loop, NULL};
    house->fleet = fleet_new(&parts, house->rules, house->tls, &bad_listener, &why);
    if (house->fleet == NULL)
        fail_msg("%s", why.text);
    assert_true(fleet_start(house->fleet, &why));
    assert_true(fleet_write_urls(house->fleet, &urls) && buf_add_char(&urls, '\0'));
    assert_int_equal(sscanf(urls.ptr, "http://127.0.0.1:%u", &house->port), 1);
    buf_free(&urls);
}

/* As a reload does it, when nothing is wrong. */
static inline void house_use(struct house *house, const char *text)
{
    request_rules_release(&house->rules);
    server_tls_release(&house->tls);
    rules_of(house, text);
    fleet_use(house->fleet, house->rules, house->tls);
}

static inline void house_stop(struct house *house)
{
    fleet_free(&house->fleet);
    assert_int_equal(atomic_load(&house->shared.in_flight), 0);
    assert_int_equal(server_counts_connections(house->counts), 0);
    request_rules_release(&house->rules);
    server_tls_release(&house->tls);
    cache_free(&house->shared.cache);
    limiter_free(&house->shared.limiter);
    upstreams_free(&house->shared.upstreams);
    server_counts_free(&house->counts);
    metrics_free(&house->shared.metrics);
    loop_free(&house->loop);
}

/* ---- a client ---- */

static inline int dial(unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr = {htonl(INADDR_LOOPBACK)},
                             .sin_port = htons((uint16_t)port)};
    struct timeval most = {5, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static inline void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until `text` has come: true; or to the end. */
static inline bool hear(int fd, const char *text, char *received, size_t room)
{
    size_t len = strlen(received);

    while (text == NULL || strstr(received, text) == NULL) {
        ssize_t got = recv(fd, received + len, room - 1 - len, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return text == NULL && got == 0;
        len += (size_t)got;
        received[len] = '\0';
    }
    return true;
}

static inline bool becomes_empty(struct house *house)
{
    for (int i = 0; i < 5000; i++) {
        if (fleet_is_empty(house->fleet))
            return true;
        server_pause(1);
    }
    return false;
}

#endif
