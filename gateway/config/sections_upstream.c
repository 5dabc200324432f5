/* sections_upstream.c - the settings of upstreams: targets, deadlines, retries, ejection.
 *
 * Rows as in sections_server.c. The defaults are those of a gateway in front of an API
 * on the same network: fail fast to connect, be patient with the answer, try once more.
 *
 * Constant tables. */
#include "config/sections_priv.h"

static const struct field target_fields[] = {
    FIELD("url", kind_url, struct target_config, url, NULL, 0, 0,
          "http://HOST[:PORT], https://HOST[:PORT] or unix:/path"),
    FIELD("weight", kind_count, struct target_config, weight, "1", 1, 1000,
          "share of the requests, against the other targets"),
    FIELD("backup", kind_bool, struct target_config, is_backup, "false", 0, 0,
          "asked only while no other target can be"),
};

static void target_finish(struct reader *reader, const struct node *node, void *base)
{
    (void)base;
    if (node_child(node, STR("url")) == NULL)
        reader_fault_in(reader, node, "url", "is missing, expected %s", kind_url.expected);
}

static const struct section target_section = {SECTION(target_fields, sizeof(struct target_config)),
                                              .finish = target_finish};

static bool target_is_short(const void *element)
{
    const struct target_config *target = element;

    return target->weight == 1 && !target->is_backup;
}

static const struct collection target_list = {.section = &target_section,
                                              .count_offset =
                                                  offsetof(struct upstream_config, target_count),
                                              .is_short = target_is_short};

#define U struct upstream_config
static const struct field retry_fields[] = {
    FIELD("attempts", kind_count, U, retry.attempts, "1", 0, 10, "tries after the first; 0: none"),
    FIELD("on", kind_retry_on, U, retry.on, "connect,reset,502,503,504", 0, 0,
          "connect, reset, timeout, 500, 502, 503, 504"),
    FIELD("budget", kind_share, U, retry.budget, "0.2", 0, 1,
          "most retries, as a share of the requests in flight (3 at least)"),
    FIELD("buffer", kind_size, U, retry.buffer_bytes, "64KiB", 0, MIB(16),
          "largest request body that is kept to be sent again"),
};
static const struct section retry_section = {SECTION(retry_fields, 0)};

static const struct field success_rate_fields[] = {
    FIELD("hosts", kind_count, U, ejection.success_rate.hosts, "5", 0, 10000,
          "targets with enough answers, at least; fewer are not compared, 0: never"),
    FIELD("volume", kind_count, U, ejection.success_rate.volume, "100", 1, 1000000,
          "answers of a target in the interval that are enough"),
    FIELD("factor", kind_share, U, ejection.success_rate.factor, "1.9", 0, 100,
          "standard deviations below the mean of all, where a target is left out"),
    FIELD("interval", kind_duration, U, ejection.success_rate.interval_ms, "10s", 100, HOURS(1),
          "time over which they are compared"),
};
static const struct section success_rate_section = {SECTION(success_rate_fields, 0)};

static const struct field ejection_fields[] = {
    FIELD("failures", kind_count, U, ejection.failures, "5", 0, 1000000,
          "in a row, after which a target is left out; 0: ejection is off"),
    FIELD("eject_for", kind_duration, U, ejection.eject_for_ms, "10s", 10, HOURS(24),
          "how long it is left out"),
    FIELD("max", kind_share, U, ejection.max, "0.5", 0, 1,
          "largest share of the targets that may be left out"),
    FIELD_NESTED("success_rate", success_rate_section,
                 "when a target that fails more often than the others is left out"),
};
static const struct section ejection_section = {SECTION(ejection_fields, 0)};

static const struct field breaker_fields[] = {
    FIELD("failures", kind_count, U, breaker.failures, "20", 0, 1000000,
          "failed exchanges in the window that may open it; 0: off"),
    FIELD("ratio", kind_share, U, breaker.ratio, "0.5", 0, 1,
          "least share of all exchanges that they must be"),
    FIELD("window", kind_duration, U, breaker.window_ms, "10s", 100, HOURS(1),
          "how long an exchange is remembered"),
    FIELD("open_for", kind_duration, U, breaker.open_for_ms, "5s", 10, HOURS(24),
          "how long nothing is sent before it is tried again"),
    FIELD("half_open", kind_count, U, breaker.half_open, "1", 1, 1000,
          "trials at a time then, and successes that close it"),
};
static const struct section breaker_section = {SECTION(breaker_fields, 0)};

static const struct words health_types = {{"http", "tcp"}};
static const struct field health_fields[] = {
    FIELD_WITH(health_types, "type", kind_choice, U, health.type, "http", 0, 0,
               "http: an answer with an expected status; tcp: a connection"),
    FIELD_WITH(path_rule, "path", kind_text, U, health.path, "/health", 0, 0, "what is asked for"),
    FIELD("interval", kind_duration, U, health.interval_ms, "5s", 20, HOURS(24),
          "between two checks of a target"),
    FIELD("timeout", kind_duration, U, health.timeout_ms, "1s", 10, MINUTES(10),
          "longest wait for the answer"),
    FIELD("healthy", kind_count, U, health.healthy, "2", 1, 1000,
          "checks in a row that bring a target back"),
    FIELD("unhealthy", kind_count, U, health.unhealthy, "3", 1, 1000,
          "checks in a row that take it out"),
    FIELD("expect", kind_statuses, U, health.expect, "200", 100, 599, "statuses that are good"),
    FIELD("body", kind_text, U, health.body, "", 0, 0,
          "text that the answer's first 64 KiB must contain; empty: the body is not read"),
};

static void health_finish(struct reader *reader, const struct node *node, void *base)
{
    (void)reader;
    (void)node;
    ((struct upstream_config *)base)->health.is_on = true;
}

static bool health_is_set(const void *base)
{
    return ((const struct upstream_config *)base)->health.is_on;
}

static const struct section health_section = {SECTION(health_fields, 0), .finish = health_finish,
                                              .is_set = health_is_set};

static const struct field tls_fields[] = {
    FIELD("ca", kind_text, U, tls.ca, "", 0, 0,
          "PEM file of trusted authorities; empty: the system's"),
    FIELD("verify", kind_bool, U, tls.verify, "true", 0, 0, "false: any certificate is taken"),
    FIELD("cert", kind_text, U, tls.cert, "", 0, 0,
          "PEM file of the certificate that the gateway shows; empty: none"),
    FIELD("key", kind_text, U, tls.key, "", 0, 0, "PEM file of its private key"),
};
static const struct section tls_section = {SECTION(tls_fields, 0)};

static const struct words protocols = {{"auto", "http1", "http2"}};
static const struct words balances = {{"round_robin", "least_request", "p2c_ewma", "hash"}};

static const struct field upstream_fields[] = {
    FIELD_WITH(target_list, "targets", kind_eithers, U, targets, NULL, 0, 0,
               "texts, or objects with url and weight"),
    FIELD("required", kind_bool, U, required, "true", 0, 0,
          "without a target that may be tried, /ready is 503"),
    FIELD("host", kind_host, U, host, "client", 0, 0,
          "Host that is sent: client, target or a name"),
    FIELD_WITH(balances, "balance", kind_choice, U, balance, "least_request", 0, 0,
               "how a target is chosen: in turn, the least busy, the quicker of two, or by a key"),
    FIELD("hash_on", kind_hash_on, U, hash_on, "client", 0, 0,
          "the key of hash: client, path, header:NAME or cookie:NAME (without it: client)"),
    FIELD_WITH(protocols, "protocol", kind_choice, U, protocol, "auto", 0, 0,
               "auto and http1 speak HTTP/1.1; http2 is HTTP/2, or HTTP/1.1 and a warning before "
               "libcurl 8"),
    FIELD("connect_timeout", kind_duration, U, connect_timeout_ms, "1s", 1, MINUTES(10),
          "longest wait for a connection"),
    FIELD("first_byte_timeout", kind_duration, U, first_byte_timeout_ms, "15s", 1, HOURS(1),
          "longest wait for the answer's head"),
    FIELD("idle_timeout", kind_duration, U, idle_timeout_ms, "60s", 1, HOURS(1),
          "longest silence in an answer's body"),
    FIELD("timeout", kind_duration, U, timeout_ms, "60s", 1, HOURS(24),
          "of a whole exchange with its retries; not for event streams"),
    FIELD("keepalive", kind_count, U, keepalive, "64", 0, 10000,
          "idle connections kept, per worker and target"),
    FIELD_NESTED("retry", retry_section, "when a request is sent again"),
    FIELD_NESTED("ejection", ejection_section, "when a failing target is left out"),
    FIELD_NESTED("breaker", breaker_section, "when the upstream as a whole is left alone"),
    FIELD_NESTED("health", health_section, "active checks of each target; absent: none"),
    FIELD("max_requests", kind_count, U, max_requests, "1000", 1, 1000000,
          "at a time, each target, all workers together; more wait in the queue"),
    FIELD("queue", kind_count, U, queue, "0", 0, 1000000,
          "requests that may wait for a target; more: 503"),
    FIELD("queue_timeout", kind_duration, U, queue_timeout_ms, "1s", 1, HOURS(1),
          "longest wait in the queue; then 503"),
    FIELD("slow_start", kind_duration, U, slow_start_ms, "0s", 0, HOURS(1),
          "a target that returns gets its share little by little over this; 0: at once"),
    FIELD("dns_ttl", kind_duration, U, dns_ttl_ms, "30s", 100, HOURS(24),
          "a name is looked up again after this (the system tells no lifetime); each address, of "
          "either family, is a target of its own"),
    FIELD("hedge", kind_bool, U, hedge, "false", 0, 0,
          "a GET that waits longer than 95 of 100 is sent to a second target too"),
    FIELD("adaptive", kind_bool, U, adaptive, "false", 0, 0,
          "requests at a time follow the latency; over that, low tiers are turned away first"),
    FIELD_NESTED("tls", tls_section, "for https targets"),
};
#undef U

static void upstream_finish(struct reader *reader, const struct node *node, void *base)
{
    (void)base;
    if (node_child(node, STR("targets")) == NULL)
        reader_fault_in(reader, node, "targets",
                        "is missing, expected a list such as [\"http://127.0.0.1:9001\"]");
}

const struct section upstream_section = {SECTION(upstream_fields, sizeof(struct upstream_config)),
                                         .finish = upstream_finish};
const struct collection upstream_collection = {
    .section = &upstream_section,
    .count_offset = offsetof(struct config, upstream_count),
    .name_offset = offsetof(struct upstream_config, name)};
