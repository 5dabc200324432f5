/* reply_coding.c - the answer's body in a content coding that the client accepts.
 *
 * What is stored stays as the origin sent it. A hit gets the copy that the cache keeps beside
 * the entry; the first who asks makes it: here when it is short, else on a pool thread while
 * everybody is served as it is. What comes from an upstream is packed as it flows, and let out
 * whenever the upstream pauses. A coded answer is another representation (RFC 9110 §8.8.3): its
 * tag is weak, and ranges are of the plain one only. Answers to requests with Cookie stay plain
 * unless the route shares them: secrets beside mirrored input leak through lengths (BREACH).
 * Worker's thread. */
#include "request/request_priv.h"

#include <stdlib.h>

enum {
    AT_ONCE_BYTES = 32 * 1024, /* packed on the worker: below a millisecond */
    INPUT_BYTES = 8 * 1024,    /* of a stream, in one go */
    STREAMS_AT_ONCE = 64       /* encoders of one worker; more: plain */
};

/* ---- may it be coded, and how? ---- */

static bool is_listed_type(const struct str_list *types, struct str type)
{
    type = str_trim(str_at(type.ptr, str_find(type, ';')));
    for (uint32_t i = 0; i < types->count; i++) {
        struct str wanted = types->at[i];
        bool is_all = wanted.len > 0 && wanted.ptr[wanted.len - 1] == '*';

        if (is_all && type.len >= wanted.len) {
            wanted.len--;
            if (str_ieq(str_at(type.ptr, wanted.len), wanted))
                return !str_ieq(type, STR("text/event-stream"));
        } else if (type.len == wanted.len && str_ieq(type, wanted)) {
            return !str_ieq(type, STR("text/event-stream"));
        }
    }
    return false;
}

/* Digests speak of the bytes as they are, or were, on the wire (RFC 9530, and older ones). */
static bool has_digest(const struct http_fields *fields)
{
    static const char *const names[] = {"Content-Digest", "Repr-Digest", "Digest", "Content-MD5"};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (http_fields_find(fields, str_of(names[i])).ptr != NULL)
            return true;
    return false;
}

/* One pass: every hit comes here. */
static bool may_be_coded(const struct request *r, int status, const struct http_fields *fields)
{
    struct str type = STR_NONE;
    bool is_long = false; /* is Cache-Control long enough for no-transform? */

    if (status < 200 || status == 204 || status == 206 || status == 304)
        return false;
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];

        if (field->id == HTTP_CONTENT_ENCODING || field->id == HTTP_CONTENT_RANGE)
            return false;
        if (field->id == HTTP_CONTENT_TYPE)
            type = field->value;
        else if (field->id == HTTP_CACHE_CONTROL)
            is_long = is_long || field->value.len >= sizeof("no-transform") - 1;
    }
    return type.len > 0 && is_listed_type(&r->config->cache.compress_types, type) &&
           !(is_long && http_fields_has_token(fields, HTTP_CACHE_CONTROL, STR("no-transform")));
}

static bool is_secret(const struct request *r)
{
    return http_fields_count_of(&r->head.fields, HTTP_COOKIE) > 0 &&
           r->route->cache.per_user != PER_USER_FALSE;
}

/* Leaves r->coding.is_negotiated and the kind, when one is wanted. False: nothing that there is
 * would be acceptable. */
static bool choose(struct request *r, int status, const struct http_fields *fields)
{
    const struct str_list *offered = &r->config->cache.compress;
    int choice;

    r->coding.is_negotiated = may_be_coded(r, status, fields);
    r->coding.is_wanted = false;
    if (!r->coding.is_negotiated ||
        http_fields_count_of(&r->head.fields, HTTP_ACCEPT_ENCODING) == 0)
        return true;
    choice = http_choose_coding(&r->head.fields, offered->at, offered->count);
    if (choice == HTTP_CODING_NONE)
        return false;
    r->coding.is_wanted =
        choice >= 0 && codec_of(offered->at[choice], &r->coding.kind) &&
        http_fields_count_of(&r->head.fields, HTTP_RANGE) == 0 &&
        !http_fields_has_token(&r->head.fields, HTTP_CACHE_CONTROL, STR("no-transform")) &&
        !is_secret(r) && !has_digest(fields);
    return true;
}

/* ---- the fields ---- */

static struct http_field *find_field(struct http_fields *fields, enum http_name id)
{
    for (uint32_t i = 0; i < fields->count; i++)
        if (fields->at[i].id == id)
            return &fields->at[i];
    return NULL;
}

static bool add_vary(struct request *r)
{
    struct http_field *vary = find_field(&r->out, HTTP_VARY);

    if (vary == NULL)
        return reply_field(r, HTTP_VARY, STR("Accept-Encoding"));
    if (http_fields_has_token(&r->out, HTTP_VARY, STR("Accept-Encoding")) ||
        http_fields_has_token(&r->out, HTTP_VARY, STR("*")))
        return true;
    vary->value = arena_printf(r->arena, "%.*s, Accept-Encoding", STR_ARG(vary->value));
    return vary->value.ptr != NULL;
}

bool coding_fields(struct request *r)
{
    struct http_field *etag;

    if (!r->coding.is_negotiated)
        return true;
    if (!add_vary(r))
        return false;
    if (!r->coding.is_wanted)
        return true;
    (void)http_fields_remove(&r->out, HTTP_ACCEPT_RANGES);
    etag = find_field(&r->out, HTTP_ETAG);
    if (etag != NULL && !str_starts(etag->value, STR("W/"))) {
        etag->value = arena_printf(r->arena, "W/%.*s", STR_ARG(etag->value));
        if (etag->value.ptr == NULL)
            return false;
    }
    return r->answer.status == 304 ||
           reply_field(r, HTTP_CONTENT_ENCODING, codec_name(r->coding.kind));
}

/* ---- a stored answer ---- */

struct making {
    struct cache_entry *entry;
    enum codec_kind kind;
};

static void make(void *arg)
{
    struct making *making = arg;

    cache_entry_code(making->entry, making->kind);
}

static void on_made(void *arg)
{
    struct making *making = arg;

    cache_entry_release(&making->entry);
    free(making);
}

/* False: not claimed by us after all, and nobody has begun. */
static bool make_elsewhere(struct request *r, struct cache_entry *entry)
{
    struct making *making = malloc(sizeof(*making));

    if (making == NULL)
        return false;
    *making = (struct making){cache_entry_hold(entry), r->coding.kind};
    if (!cache_entry_claim_coding(entry, r->coding.kind)) {
        on_made(making);
        return false;
    }
    if (!loop_work(r->context->loop, make, on_made, making)) {
        make(making); /* what is claimed must be made; this needs memory to be out */
        on_made(making);
    }
    return true;
}

bool coding_of_entry(struct request *r, const struct stored *stored)
{
    struct cache_entry *entry = stored->entry;
    size_t len = stored->meta.body.len;
    enum codec_kind kind;

    if (r->config->cache.compress.count == 0 || len < r->config->cache.compress_min_bytes)
        return true;
    if (!choose(r, stored->meta.status, &stored->fields))
        return false;
    if (!r->coding.is_wanted)
        return true;
    kind = r->coding.kind;
    switch (cache_entry_coded(entry, kind, &r->coding.whole)) {
    case CACHE_CODED_READY:
        return true;
    case CACHE_CODED_NONE:
        break;
    case CACHE_CODED_MAKING:
    case CACHE_CODED_USELESS:
        r->coding.is_wanted = false;
        return true;
    }
    if (len > AT_ONCE_BYTES)
        (void)make_elsewhere(r, entry);
    else if (cache_entry_claim_coding(entry, kind))
        cache_entry_code(entry, kind);
    r->coding.is_wanted = cache_entry_coded(entry, kind, &r->coding.whole) == CACHE_CODED_READY;
    return true;
}

/* ---- an answer on its way ---- */

/* A short one that is all there: packed at once, so that it has a length. */
static void pack_whole(struct request *r, struct str body)
{
    struct buf packed = buf_new(body.len - body.len / 10);

    r->coding.is_wanted = body.len >= r->config->cache.compress_min_bytes &&
                          codec_pack(r->coding.kind, CODEC_SENT_ONCE, body, &packed);
    if (r->coding.is_wanted) {
        r->coding.whole = arena_copy(r->arena, buf_str(&packed));
        r->coding.is_wanted = r->coding.whole.ptr != NULL;
    }
    buf_free(&packed);
}

static void begin_stream(struct request *r)
{
    struct coding *c = &r->coding;

    c->is_wanted = false;
    if (r->context->encoders >= STREAMS_AT_ONCE)
        return;
    c->input = malloc(INPUT_BYTES);
    c->codec = c->input != NULL ? codec_encoder_new(c->kind, CODEC_SENT_ONCE) : NULL;
    if (c->codec == NULL) {
        free(c->input);
        c->input = NULL;
        return;
    }
    r->context->encoders++;
    c->is_wanted = true;
}

bool coding_of_reader(struct request *r, const struct fill_head *head)
{
    const struct cache_config *config = &r->config->cache;
    struct str body;

    if (config->compress.count == 0 ||
        (head->has_length && head->length < config->compress_min_bytes))
        return true;
    if (!choose(r, head->status, head->fields))
        return false;
    if (!r->coding.is_wanted || !http_answer_has_body(r->head.method, head->status))
        return true;
    if (fill_reader_trailers(r->reader) == NULL && fill_reader_whole(r->reader, &body) &&
        body.len <= AT_ONCE_BYTES)
        pack_whole(r, body);
    else
        begin_stream(r);
    return true;
}

enum pull { PULL_SOME, PULL_PAUSE, PULL_FAILED };

/* The next input, or what its absence asks of the encoder. */
static enum pull pull(struct request *r)
{
    struct coding *c = &r->coding;
    ptrdiff_t got = fill_read(r->reader, c->input, INPUT_BYTES);

    if (got == FILL_ERROR)
        return PULL_FAILED;
    if (got == FILL_WAIT) {
        if (!c->is_dirty)
            return PULL_PAUSE;
        c->step = CODEC_FLUSH;
        return PULL_SOME;
    }
    if (got == FILL_END)
        c->step = CODEC_FINISH;
    else
        c->in = str_at(c->input, (size_t)got);
    return PULL_SOME;
}

ptrdiff_t coding_read(struct request *r, char *to, size_t room)
{
    struct coding *c = &r->coding;
    struct codec_io io = {c->in, to, room};
    enum pull pulled = PULL_SOME;

    while (io.room > 0 && !c->is_over) {
        enum codec_result result;

        if (io.in.len == 0 && c->step == CODEC_RUN) {
            pulled = pull(r);
            if (pulled != PULL_SOME)
                break;
            io.in = c->in;
        }
        result = codec_run(c->codec, &io, c->step);
        c->in = io.in;
        if (result == CODEC_FULL)
            break;
        if (result != CODEC_DONE)
            return FILL_ERROR;
        c->is_over = c->step == CODEC_FINISH;
        c->is_dirty = c->step == CODEC_RUN;
        c->step = CODEC_RUN;
    }
    if (io.room < room)
        return (ptrdiff_t)(room - io.room);
    if (pulled == PULL_FAILED)
        return FILL_ERROR;
    return c->is_over ? FILL_END : FILL_WAIT;
}

void coding_end(struct request *r)
{
    if (r->coding.codec == NULL)
        return;
    r->context->encoders--;
    codec_free(&r->coding.codec);
    free(r->coding.input);
    r->coding.input = NULL;
}
