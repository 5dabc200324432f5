/* htpasswd.c - a file of names and password hashes, as Apache and nginx read it.
 *
 * One NAME:HASH a line; empty lines and those that start with '#' are passed over; what follows a
 * second colon is a remark. A hash in a form that we cannot judge, and a name twice, are faults
 * with their line, because either would show as a refused user only. Read at the start and at a
 * reload; immutable then. */
#include "identify/identify_priv.h"

#include <stdlib.h>

enum { FILE_MOST = 4 * 1024 * 1024 };

struct htpasswd {
    char *text;        /* owned; lines are cut in place */
    struct map *users; /* name to its hash, NUL-terminated, in `text` */
    const char *any;   /* one of the hashes */
};

static bool add_line(struct htpasswd *file, struct str line, uint32_t number, struct fail *why)
{
    size_t colon = str_find(line, ':');
    struct str name = str_at(line.ptr, colon), hash = str_from(line, colon + 1);

    hash.len = str_find(hash, ':');
    if (colon == line.len || name.len == 0 || name.len > JWT_USER_MOST)
        return fail_set(why, "line %u: expected NAME:HASH", number);
    if (!password_hash_is_known(hash))
        return fail_set(why,
                        "line %u: the hash of \"%.*s\" has a form that is not known, expected "
                        "bcrypt ($2y$), apr1, {SHA} or sha-crypt ($5$, $6$)",
                        number, STR_ARG(name));
    if (map_get(file->users, name) != NULL)
        return fail_set(why, "line %u: \"%.*s\" stands there twice", number, STR_ARG(name));
    char *end = (char *)(uintptr_t)(hash.ptr + hash.len);
    *end = '\0'; /* in `text`, over the line's end */
    file->any = hash.ptr;
    return map_put(file->users, name, (void *)(uintptr_t)hash.ptr) ||
           fail_set(why, "out of memory");
}

struct htpasswd *htpasswd_read(const char *path, struct fail *why)
{
    struct htpasswd *file = calloc(1, sizeof(*file));
    size_t len;

    if (file == NULL || (file->users = map_new()) == NULL) {
        fail_set(why, "out of memory");
        htpasswd_free(&file);
        return NULL;
    }
    file->text = file_read(path, FILE_MOST, &len, why);
    struct str rest = str_at(file->text, len), line;
    bool is_sound = file->text != NULL;
    for (uint32_t i = 1; is_sound && rest.len > 0 && str_split(&rest, '\n', &line); i++) {
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        line = str_trim(line);
        if (line.len > 0 && line.ptr[0] != '#')
            is_sound = add_line(file, line, i, why);
    }
    if (!is_sound)
        htpasswd_free(&file);
    return file;
}

void htpasswd_free(struct htpasswd **file)
{
    if (*file != NULL) {
        map_free(&(*file)->users);
        free((*file)->text);
    }
    free(*file);
    *file = NULL;
}

const char *htpasswd_hash(const struct htpasswd *file, struct str name)
{
    return map_get(file->users, name);
}

const char *htpasswd_any(const struct htpasswd *file)
{
    return file->any;
}
