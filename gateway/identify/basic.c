/* basic.c - a name and a password in Authorization: Basic (RFC 7617).
 *
 * Judging a password takes milliseconds, by intent: it is done on a thread of the pool while the
 * request waits, a few at a time and one for all with the same pair; what was right is remembered
 * for minutes by a keyed hash, beside the tokens. A name that is not in the file takes as long as a
 * wrong password. Nothing keeps the password but the job, which wipes it. Worker's thread, but for
 * the job's work. */
#include "identify/identify_priv.h"

#include <stdlib.h>

enum { REMEMBERED_S = 300, PAIR_MOST = 1024 };

struct basic_job {
    struct identify_memory *memory;
    struct basic_job *next;        /* of the memory's */
    struct turn_end end;           /* where no thread could take it */
    struct identify_wait *waiting; /* requests with this pair; those that leave go out */
    struct verified result;        /* what is remembered when it is right */
    char hash[512], password[PAIR_MOST];
    size_t password_len;
    bool is_real; /* false: nobody has that name */
    bool is_right, is_started;
};

/* ---- the pair ---- */

/* base64 with its padding (RFC 4648 §4), once: letters become those of base64url. */
static bool decode(struct str text, char *to, size_t *len)
{
    char plain[PAIR_MOST / 3 * 4 + 4];

    if (text.len == 0 || text.len % 4 != 0 || text.len > PAIR_MOST / 3 * 4)
        return false;
    while (text.ptr[text.len - 1] == '=' && text.len % 4 != 2)
        text.len--;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        plain[i] = c;
        if (c == '+')
            plain[i] = '-';
        else if (c == '/')
            plain[i] = '_';
        else if (c == '-' || c == '_')
            return false;
    }
    return base64url_decode(str_at(plain, text.len), to, PAIR_MOST - 1, len);
}

static bool is_sound(struct str pair, size_t colon)
{
    if (colon == 0 || colon == pair.len || colon > JWT_USER_MOST || pair.ptr[0] == ' ' ||
        pair.ptr[colon - 1] == ' ')
        return false;
    for (size_t i = 0; i < pair.len; i++)
        if ((unsigned char)pair.ptr[i] < 0x20 || pair.ptr[i] == 0x7f)
            return false;
    return true;
}

/* ---- the job ---- */

static void work(void *arg)
{
    struct basic_job *job = arg;
    struct str password = str_at(job->password, job->password_len);

    job->is_right = password_is_right(str_of(job->hash), password) && job->is_real;
}

static void forget(struct basic_job *job)
{
    struct basic_job **at = &job->memory->judging;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    job->memory->jobs--;
    explicit_bzero(job, sizeof(*job));
    free(job);
}

static void on_done(void *arg)
{
    struct basic_job *job = arg;
    struct identify_memory *memory = job->memory;
    struct identify_wait *waiting = job->waiting;
    struct verified *place = NULL;

    if (job->is_right && !memory->is_dead)
        place = verified_place(memory->verified, job->result.tag, job->result.epoch);
    if (place != NULL)
        *place = job->result;
    forget(job);
    if (memory->is_dead)
        memory_release(memory);
    else
        memory_wake(&waiting);
}

void basic_start(struct basic_job *job, struct identify_wait *wait)
{
    memory_link(job->memory, &job->waiting, wait);
    if (job->is_started)
        return;
    job->is_started = true;
    if (loop_work(job->memory->loop, work, on_done, job))
        return;
    work(job); /* no thread can be had: slow beats wrong */
    job->end = (struct turn_end){.fn = on_done, .arg = job};
    loop_at_turn_end(job->memory->loop, &job->end);
}

/* Somebody else's with the same pair, or NULL. */
static struct basic_job *job_of(const struct identify_memory *memory, struct hash128 tag,
                                uint64_t epoch)
{
    struct basic_job *job = memory->judging;

    while (job != NULL && (job->result.tag.lo != tag.lo || job->result.tag.hi != tag.hi ||
                           job->result.epoch != epoch))
        job = job->next;
    return job;
}

static struct basic_job *job_new(const struct identify *identify, struct identify_memory *memory,
                                 struct str pair, size_t colon)
{
    struct str name = str_at(pair.ptr, colon), password = str_from(pair, colon + 1);
    const char *hash = htpasswd_hash(identify->htpasswd, name);
    struct basic_job *job = calloc(1, sizeof(*job));

    if (job == NULL)
        return NULL;
    job->memory = memory;
    job->is_real = hash != NULL;
    if (hash == NULL)
        hash = htpasswd_any(identify->htpasswd);
    if (hash == NULL || strlen(hash) >= sizeof(job->hash)) {
        job->is_real = false;
        hash = "";
    }
    memcpy(job->hash, hash, strlen(hash) + 1);
    memcpy(job->password, password.ptr, password.len);
    job->password_len = password.len;
    memcpy(job->result.name, "user:", 5);
    memcpy(job->result.name + 5, name.ptr, name.len);
    job->result.name_len = (uint16_t)(5 + name.len);
    job->result.caller =
        hash_sip128(&identify->secret, str_at(job->result.name, job->result.name_len));
    job->result.tier = identify->default_tier;
    job->next = memory->judging;
    memory->judging = job;
    memory->jobs++;
    return job;
}

/* ---- asking ---- */

static enum identify_result refuse(const char *reason, struct identify_answer *answer)
{
    answer->reason = reason;
    return IDENTIFY_INVALID;
}

static enum identify_result accept_known(const struct verified *known, struct arena *arena,
                                         struct identify_answer *answer)
{
    struct str name = arena_copy(arena, str_at(known->name, known->name_len));

    if (name.ptr == NULL)
        return refuse("memory", answer);
    answer->caller = (struct caller){.kind = CALLER_USER,
                                     .id = str_from(name, 5),
                                     .name = name,
                                     .hash = known->caller,
                                     .tier = known->tier};
    return IDENTIFY_OK;
}

static enum identify_result ask_pair(const struct identify *identify, struct str text,
                                     const struct identify_question *question, struct arena *arena,
                                     struct identify_answer *answer)
{
    struct identify_memory *memory = question->memory;
    char bytes[PAIR_MOST];
    struct hash128 tag;
    size_t len = 0;

    if (!decode(text, bytes, &len))
        return refuse("basic_malformed", answer);
    struct str pair = str_at(bytes, len);
    size_t colon = str_find(pair, ':');
    if (!is_sound(pair, colon) || memory == NULL) {
        explicit_bzero(bytes, sizeof(bytes));
        return refuse("basic_malformed", answer);
    }
    tag = verified_tag(memory->verified, pair);
    const struct verified *known = verified_find(memory->verified, tag, identify->serial);
    enum identify_result result = IDENTIFY_WAITS;
    if (known != NULL && question->wall_s < known->until_s) {
        result = accept_known(known, arena, answer);
    } else if (!question->may_wait) {
        result = refuse("basic_wrong", answer);
    } else if ((answer->job = job_of(memory, tag, identify->serial)) == NULL) {
        answer->reason = "basic_busy";
        result = IDENTIFY_BUSY;
        if (memory->jobs < BASIC_JOBS_MOST)
            answer->job = job_new(identify, memory, pair, colon);
        if (answer->job != NULL) {
            answer->job->result.tag = tag;
            answer->job->result.epoch = identify->serial;
            answer->job->result.until_s = question->wall_s + REMEMBERED_S;
            result = IDENTIFY_WAITS;
        }
    }
    explicit_bzero(bytes, sizeof(bytes));
    return result;
}

bool basic_ask(const struct identify *identify, const struct identify_question *question,
               struct arena *arena, struct identify_answer *answer, enum identify_result *result)
{
    static const struct str scheme = {"Basic", 5};
    struct str value = http_fields_get(question->fields, HTTP_AUTHORIZATION);
    bool is_alone = http_fields_count_of(question->fields, HTTP_AUTHORIZATION) == 1;

    if (value.ptr == NULL)
        return false;
    if (is_alone && (value.len <= scheme.len || !str_ieq(str_at(value.ptr, scheme.len), scheme) ||
                     (value.ptr[scheme.len] != ' ' && value.ptr[scheme.len] != '\t')))
        return false;
    answer->method = METHOD_BASIC;
    answer->credential_seen = true;
    if (!is_alone) {
        *result = refuse("basic_duplicate", answer);
        return true;
    }
    value = str_from(value, scheme.len);
    while (value.len > 0 && value.ptr[0] == ' ')
        value = str_from(value, 1);
    *result = ask_pair(identify, value, question, arena, answer);
    return true;
}
