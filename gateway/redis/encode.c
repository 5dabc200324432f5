/* encode.c - words to the bytes of one command (RESP2: an array of bulk strings).
 *
 * By hand and into the connection's own buffer: hiredis would allocate and copy each command
 * twice. Lengths are written before bytes, so any byte may stand in a word. Room is made once for
 * the whole command: a batch of decisions has two hundred words.
 *
 * Any thread; no state. */
#include "redis/redis_priv.h"

enum { MARKS = 1 + U64_DIGITS + 2 + 2 }; /* around a word at most */

static char *put_count(char *to, char mark, size_t count)
{
    *to++ = mark;
    to += u64_write(to, count);
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

static char *put_word(char *to, struct str word)
{
    to = put_count(to, '$', word.len);
    if (word.len > 0) /* an empty word may point nowhere */
        memcpy(to, word.ptr, word.len);
    to += word.len;
    *to++ = '\r';
    *to++ = '\n';
    return to;
}

static size_t room_of(const struct str *words, size_t count)
{
    size_t room = 0;

    for (size_t i = 0; i < count; i++)
        room += words[i].len + MARKS;
    return room;
}

/* `verb` is EVALSHA or EVAL where the command has a script, else unused. */
bool encode_words(struct buf *out, const char *verb, const struct redis_command *command)
{
    const struct redis_script *script = command->script;
    struct str head[2];
    size_t heads = 0;
    char *at;

    if (script != NULL) {
        head[heads++] = str_of(verb);
        head[heads++] = str_at(script->sha1, 40);
    }
    if (!buf_reserve(out, MARKS + room_of(head, heads) + room_of(command->words, command->count)))
        return false;
    at = put_count(out->ptr + out->len, '*', command->count + heads);
    for (size_t i = 0; i < heads; i++)
        at = put_word(at, head[i]);
    for (size_t i = 0; i < command->count; i++)
        at = put_word(at, command->words[i]);
    out->len = (size_t)(at - out->ptr);
    return true;
}

bool encode_text(struct buf *out, const char *const *words)
{
    size_t count = 0, room = MARKS;
    char *at;

    for (; words[count] != NULL; count++)
        room += strlen(words[count]) + MARKS;
    if (!buf_reserve(out, room))
        return false;
    at = put_count(out->ptr + out->len, '*', count);
    for (size_t i = 0; i < count; i++)
        at = put_word(at, str_of(words[i]));
    out->len = (size_t)(at - out->ptr);
    return true;
}
