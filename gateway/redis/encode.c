/* encode.c - words to the bytes of one command (RESP2: an array of bulk strings).
 *
 * By hand and into the connection's own buffer: hiredis would allocate and copy each command
 * twice. Lengths are written before bytes, so any byte may stand in a word.
 *
 * Any thread; no state. */
#include "redis/redis_priv.h"

static bool add_count(struct buf *out, char mark, size_t count)
{
    return buf_add_char(out, mark) && buf_add_u64(out, count) && buf_add(out, "\r\n", 2);
}

static bool add_word(struct buf *out, struct str word)
{
    return add_count(out, '$', word.len) && buf_add_str(out, word) && buf_add(out, "\r\n", 2);
}

/* `verb` is EVALSHA or EVAL where the command has a script, else unused. */
bool encode_words(struct buf *out, const char *verb, const struct redis_command *command)
{
    const struct redis_script *script = command->script;

    if (!add_count(out, '*', command->count + (script != NULL ? 2 : 0)))
        return false;
    if (script != NULL &&
        (!add_word(out, str_of(verb)) || !add_word(out, str_at(script->sha1, 40))))
        return false;
    for (size_t i = 0; i < command->count; i++)
        if (!add_word(out, command->words[i]))
            return false;
    return true;
}

bool encode_text(struct buf *out, const char *const *words)
{
    size_t count = 0;

    while (words[count] != NULL)
        count++;
    if (!add_count(out, '*', count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!add_word(out, str_of(words[i])))
            return false;
    return true;
}
