/* Any bytes as a neighbour's metrics, in two pieces: bounded, and the numbers stay finite. */
#include "advise/advise.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check(void *arg, const struct advise_metric *metric)
{
    CHECK(isfinite(metric->value) && metric->name.len > 0);
    CHECK(metric->label_count <= ADVISE_LABELS);
    advise_neighbours_take(arg, metric);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct advise_lines lines;
    struct advise_neighbours neighbours = {.count = 0};
    const char *text = (const char *)bytes;
    size_t first = len > 0 ? bytes[0] % len : 0;

    lines.len = 0;
    lines.is_long = false;
    for (uint64_t at = 1; at < 3; at++) {
        advise_neighbours_begin(&neighbours);
        advise_lines_feed(&lines, str_at(text, first), check, &neighbours);
        advise_lines_feed(&lines, str_at(text + first, len - first), check, &neighbours);
        advise_lines_feed(&lines, STR("\n"), check, &neighbours);
        advise_neighbours_end(&neighbours, at * 1000000);
    }
    CHECK(neighbours.count <= ADVISE_NEIGHBOURS);
    advise_neighbours_free(&neighbours);
    return 0;
}
