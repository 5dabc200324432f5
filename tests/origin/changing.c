/* changing.c - pages that change at random, at a rate that is known: a Poisson process each.
 *
 * /changing/NAME?every=MS changes every MS milliseconds on average, and says how often it has. Its
 * changes are drawn from its name, so that they are the same in every run: the time between two
 * is -ln(u) * MS. Time is what passed since the first request, or at=MS; etag=1 adds an ETag, and
 * a 304 to who has it. */
#include "origin.h"

#include <math.h>
#include <stdio.h>

#define MOST_CHANGES 1000000

/* (0, 1], the n-th draw of a name (splitmix64). */
static double draw(uint64_t seed, uint64_t n)
{
    uint64_t x = seed + (n + 1) * UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)(((x ^ (x >> 31)) >> 11) + 1) / 9007199254740993.0;
}

static uint64_t changes_by(struct slice name, double every_ms, double at_ms)
{
    uint64_t seed = fnv1a64(FNV_START, name.ptr, name.len), count = 0;
    double moment = 0;

    for (; count < MOST_CHANGES; count++) {
        moment -= log(draw(seed, count)) * every_ms;
        if (moment > at_ms)
            break;
    }
    return count;
}

void show_changing(struct conn *conn, struct slice rest)
{
    static uint64_t began_ms;
    static struct text body, headers;
    uint64_t every_ms = query_number(conn->head.query, "every", 1000), at_ms;
    struct slice known = find_header(&conn->head, "If-None-Match");
    char tag[32];

    if (began_ms == 0)
        began_ms = now_ms();
    at_ms = query_number(conn->head.query, "at", now_ms() - began_ms);
    body.len = headers.len = 0;
    text_addf(
        &body, "%llu\n",
        (unsigned long long)changes_by(rest, every_ms > 0 ? (double)every_ms : 1, (double)at_ms));
    text_put(&headers, "Content-Type: text/plain\r\n");
    (void)snprintf(tag, sizeof tag, "\"%.*s\"", (int)body.len - 1, body.ptr);
    if (query_number(conn->head.query, "etag", 0) != 0) {
        text_addf(&headers, "ETag: %s\r\n", tag);
        if (known.ptr != NULL && slice_is(known, tag)) {
            text_add(&headers, "", 1);
            answer_head(conn, 304, headers.ptr, 0);
            return;
        }
    }
    text_add(&headers, "", 1);
    answer_with(conn, 200, headers.ptr, text_slice(&body));
}
