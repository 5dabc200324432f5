/* picture_part.c - the picture in a collected body, and what else of the body counts.
 *
 * A body is a picture by its first bytes, whatever its Content-Type claims; or it is a form with
 * one part that is. Of that part the name alone counts, because clients make up file names; all
 * other parts count as they are, but the boundary, which is made up too, does not.
 * Pure; any thread: a long body is looked through on a thread of the pool. */
#include "request/request_priv.h"

enum { MOST_OTHERS = 256 * 1024 };

/* Lengths are prefixed: no two forms have the same text. False: not one picture. */
static bool read_form(struct http_form *form, struct picture_place *place, struct buf *others)
{
    struct http_form_part part;
    enum http_form_step step;

    while ((step = http_form_next(form, &part)) == HTTP_FORM_PART) {
        if (!image_is_known(part.content)) {
            buf_addf(others, "%zu:", part.whole.len);
            buf_add_str(others, part.whole);
        } else if (place->picture.ptr != NULL) {
            return false;
        } else {
            place->picture = part.content;
            buf_addf(others, "picture %zu:%.*s", part.name.len, STR_ARG(part.name));
        }
    }
    place->is_alone = form->parts == 1;
    return step == HTTP_FORM_END && place->picture.ptr != NULL && !others->is_broken;
}

bool picture_find(struct str body, struct str type, struct picture_place *place)
{
    struct http_form form;
    struct buf text;
    bool is_found;

    *place = (struct picture_place){.picture = STR_NONE};
    if (image_is_known(body)) {
        place->picture = body;
        place->is_alone = true;
        hash_sha256_hex(STR("plain"), place->others);
        return true;
    }
    if (!http_form_begin(&form, type, body))
        return false;
    text = buf_new(MOST_OTHERS);
    is_found = read_form(&form, place, &text);
    hash_sha256_hex(buf_str(&text), place->others);
    buf_free(&text);
    return is_found;
}
