/* redis_reply_fuzz.c - whatever a Redis, or what sits on its port, says: replies, redirections and
 * maps of a Cluster are read without harm, and within the ceiling of a reply. */
#include "redis/redis_priv.h"

static void take_range(void *arg, uint32_t first, uint32_t last, const struct redis_place *place)
{
    (void)arg;
    CHECK(first <= last && last < REDIS_SLOTS);
    CHECK(place->port != 0 && strlen(place->host) <= REDIS_MAX_HOST_BYTES);
}

static void walk(const struct redis_reply *reply)
{
    static const struct redis_place asked = {.host = "asked", .port = 1};
    struct redis_place place;
    uint32_t slot;
    bool is_ask;

    (void)cluster_read_slots(reply, &asked, take_range, NULL);
    if (reply->form == REDIS_FAULT) {
        CHECK(error_outcome(reply->text) != REDIS_OK);
        if (redirection_parse(reply->text, &is_ask, &slot, &place))
            CHECK(slot < REDIS_SLOTS && place.port != 0);
    }
    for (size_t i = 0; reply->form == REDIS_ARRAY && i < reply->count; i++)
        walk(redis_item(reply, i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader *reader = reader_new(4096);
    const struct redis_reply *reply;
    size_t half = size / 2;

    CHECK(reader != NULL);
    if (reader_feed(reader, (const char *)data, half))
        while (reader_next(reader, &reply) == READER_REPLY)
            walk(reply);
    if (reader_feed(reader, (const char *)data + half, size - half))
        while (reader_next(reader, &reply) == READER_REPLY)
            walk(reply);
    reader_free(&reader);
    return 0;
}
