/* sections_resources.c - what GET /system/resources looks at, and what it costs; traces.
 *
 * Rows as in sections_server.c. Constant tables. */
#include "config/sections_priv.h"

#define R struct resources_config

static const struct field price_fields[] = {
    FIELD("cpu_core_month", kind_share, R, cpu_core_month, "0", 0, 1000000,
          "what one core costs a month, in any currency; 0: savings are not told"),
    FIELD("memory_gib_month", kind_share, R, memory_gib_month, "0", 0, 1000000,
          "what one GiB of memory costs a month"),
};
static const struct section price_section = {SECTION(price_fields, 0)};

static const struct field resources_fields[] = {
    FIELD("interval", kind_duration, R, interval_ms, "15s", 100, HOURS(1),
          "between two samples, of which 360 are kept"),
    FIELD("cadvisor", kind_service, R, cadvisor, "", 0, 0,
          "a cAdvisor whose containers are looked at too; without a path: /metrics"),
    FIELD("prometheus", kind_service, R, prometheus, "", 0, 0,
          "a Prometheus that is asked instead, by federation; it may know requests and limits"),
    FIELD_NESTED("prices", price_section, "for what right-sizing saves"),
};
const struct section resources_section = {SECTION(resources_fields, sizeof(R))};

#undef R
#define T struct trace_config

static const struct field trace_fields[] = {
    FIELD("otlp", kind_service, T, otlp, "", 0, 0,
          "a collector that takes OTLP over HTTP; without a path: /v1/traces; empty: no traces"),
    FIELD("sample", kind_share, T, sample, "0.01", 0, 1,
          "of the traces that begin here, 0 to 1; others follow their caller; errors always"),
    FIELD("service", kind_text, T, service, "gateway", 0, 0, "service.name of the spans"),
};
const struct section trace_section = {SECTION(trace_fields, sizeof(T))};
