/* answer.c - what a reply means for its call: given to the caller, or sent again.
 *
 * Errors are told by their first word. Three of them are ours to deal with: NOSCRIPT (the source
 * is sent once), MOVED and ASK of a Cluster (the call goes to the node that is named, as often
 * as REDIS_MAX_TRIES allows). None of the three has executed anything, so nothing runs twice.
 *
 * One thread: the loop's. */
#include "redis/redis_priv.h"

static const struct {
    const char *word;
    enum redis_outcome outcome;
} meanings[] = {
    {"LOADING", REDIS_NOT_READY},    {"BUSY", REDIS_NOT_READY},
    {"MASTERDOWN", REDIS_NOT_READY}, {"CLUSTERDOWN", REDIS_NOT_READY},
    {"TRYAGAIN", REDIS_NOT_READY},   {"MOVED", REDIS_NOT_READY},
    {"ASK", REDIS_NOT_READY},        {"READONLY", REDIS_READONLY},
    {"OOM", REDIS_NO_MEMORY},        {"NOAUTH", REDIS_DENIED},
    {"WRONGPASS", REDIS_DENIED},     {"NOPERM", REDIS_DENIED},
    {"WRONGTYPE", REDIS_WRONG_TYPE},
};

static struct str first_word(struct str text)
{
    return str_at(text.ptr, str_find(text, ' '));
}

enum redis_outcome error_outcome(struct str text)
{
    struct str word = first_word(text);

    for (size_t i = 0; i < COUNT_OF(meanings); i++)
        if (str_eq(word, str_of(meanings[i].word)))
            return meanings[i].outcome;
    /* what a script's redis.call() met stands inside its message, in 6.x and 7.x differently */
    if (str_has(text, STR("-OOM ")) || str_has(text, STR("OOM command not allowed")))
        return REDIS_NO_MEMORY;
    if (str_has(text, STR("WRONGTYPE ")))
        return REDIS_WRONG_TYPE;
    if (str_has(text, STR("READONLY You can't write")))
        return REDIS_READONLY;
    return REDIS_REFUSED;
}

const char *redis_outcome_word(enum redis_outcome outcome)
{
    static const char *const words[REDIS_OUTCOMES] = {"ok",        "late",       "lost",
                                                      "not_ready", "readonly",   "no_memory",
                                                      "denied",    "wrong_type", "refused"};

    return words[outcome];
}

bool redirection_parse(struct str text, bool *is_ask, uint32_t *slot, struct redis_place *place)
{
    struct str rest = text, word, number;
    uint64_t value;

    if (!str_split(&rest, ' ', &word) || !str_split(&rest, ' ', &number) ||
        !str_to_u64(number, &value) || value >= REDIS_SLOTS)
        return false;
    *is_ask = str_eq(word, STR("ASK"));
    if (!*is_ask && !str_eq(word, STR("MOVED")))
        return false;
    *slot = (uint32_t)value;
    if (!place_parse(str_trim(rest), 0, place) || place->port == 0)
        return false;
    if (strcmp(place->host, "?") == 0) /* cluster-preferred-endpoint-type hostname, and none */
        place->host[0] = '\0';
    return true;
}

static bool write_again(struct redis_link *link, struct redis_call *call, struct str bytes)
{
    static const char *const asking[] = {"ASKING", NULL};

    return (!call->is_asking || call_internal(link, asking, 0, NULL, NULL)) &&
           link_write(link, call, bytes);
}

/* The script's source in place of its hash: the bytes after the hash stay as they are. */
static bool send_source(struct redis_link *link, struct redis_call *call)
{
    struct str bytes = buf_str(&call->copy);
    size_t head = str_find(bytes, '\n') + 1; /* "*N\r\n" */
    static const char hashed[] = "$7\r\nEVALSHA\r\n$40\r\n";
    size_t tail = head + sizeof(hashed) - 1 + 40 + 2;
    struct buf out = buf_new(REDIS_MAX_COMMAND);
    bool ok;

    CHECK(tail <= bytes.len);
    ok = buf_add(&out, bytes.ptr, head) &&
         buf_addf(&out, "$4\r\nEVAL\r\n$%zu\r\n", call->script->source.len) &&
         buf_add_str(&out, call->script->source) && buf_add(&out, "\r\n", 2) &&
         buf_add_str(&out, str_from(bytes, tail)) && write_again(link, call, buf_str(&out));
    buf_free(&out);
    return ok;
}

static bool redirect(struct redis_link *link, struct redis_call *call, struct str text)
{
    struct redis *redis = link->redis;
    struct redis_place place;
    struct redis_link *to;
    uint32_t slot;
    bool is_ask;

    if (redis->cluster == NULL || !redirection_parse(text, &is_ask, &slot, &place))
        return false;
    if (place.host[0] == '\0')
        memcpy(place.host, link->place.host, sizeof(place.host));
    to = cluster_link_at(redis, &place);
    if (to == NULL)
        return false;
    if (!is_ask) {
        redis->cluster->slots[slot] = (uint8_t)(to - redis->links);
        cluster_ask_soon(redis);
    }
    call->is_asking = is_ask;
    return write_again(to, call, buf_str(&call->copy));
}

/* True: it is on its way again. */
static bool is_sent_again(struct redis_link *link, struct redis_call *call, struct str text)
{
    if (call->is_internal || call->copy.len == 0 || call->tries >= REDIS_MAX_TRIES ||
        !call->is_waited_for)
        return false;
    call->tries++;
    if (call->script != NULL && str_starts(text, STR("NOSCRIPT"))) {
        /* the source is under way already for another call: it comes first */
        if (link->sourced == call->script && call->tries == 1)
            return write_again(link, call, buf_str(&call->copy));
        link->sourced = call->script;
        return send_source(link, call);
    }
    if (str_starts(text, STR("MOVED ")) || str_starts(text, STR("ASK ")))
        return redirect(link, call, text);
    return false;
}

void answer_call(struct redis_link *link, struct redis_call *call, const struct redis_reply *reply)
{
    struct redis *redis = link->redis;
    enum redis_outcome outcome = REDIS_OK;

    if (reply->form == REDIS_FAULT) {
        if (is_sent_again(link, call, reply->text))
            return;
        outcome = error_outcome(reply->text);
    }
    if (call->is_waited_for)
        health_answered(link);
    if (outcome == REDIS_READONLY && redis->cluster == NULL)
        link_doom(link, "it is a replica and takes no writes");
    if (outcome == REDIS_NOT_READY && redis->cluster != NULL)
        cluster_ask_soon(redis);
    call->link = NULL;
    call_end(call, outcome, reply);
}

bool message_take(const struct redis *redis, const struct redis_reply *reply)
{
    const struct redis_reply *kind = redis_item(reply, 0), *channel = redis_item(reply, 1);
    const struct redis_reply *text = redis_item(reply, 2);

    if (redis->options.message == NULL || reply->count != 3 || kind->form != REDIS_STRING ||
        !str_eq(kind->text, STR("message")) || channel->form != REDIS_STRING ||
        text->form != REDIS_STRING)
        return false;
    redis->options.message(redis->options.arg, channel->text, text->text);
    return true;
}
