/* frame_fuzz.c - what stands in the store under an answer's name.
 *
 * Held: whatever it is, it is read or refused; what is read stays within the ceilings, its slices
 * within the input, no value ends a header line; written again it reads the same. The
 * checksum of the input is made right first, else nothing behind it would ever be seen. */
#include "cache/frame_priv.h"

#include <stdlib.h>

static void check_inside(struct str part, struct str whole)
{
    CHECK(part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len));
}

static void check_frame(const struct frame *frame, struct str bytes)
{
    check_inside(frame->key, bytes);
    check_inside(frame->vary_names, bytes);
    check_inside(frame->vary_key, bytes);
    check_inside(frame->body, bytes);
    CHECK(frame->fields.count <= FRAME_MAX_FIELDS && frame->tags.count <= FRAME_MAX_TAGS);
    for (uint32_t i = 0; i < frame->fields.count; i++) {
        struct str value = frame->fields.at[i].value;

        check_inside(value, bytes);
        CHECK(frame->fields.at[i].name.len > 0);
        CHECK(str_find(value, '\n') == value.len && str_find(value, '\r') == value.len);
    }
    for (uint32_t i = 0; i < frame->tags.count; i++)
        check_inside(frame->tags.at[i], bytes);
    CHECK(frame->is_rule || (frame->status >= 200 && frame->status < 600));
    CHECK(frame->is_rule || frame_chunks(frame) <= FRAME_MAX_BODY / FRAME_CHUNK);
    CHECK(frame->initial_age_s >= 0 && frame->lifetime_s >= 0 && frame->created_us >= 0);
}

static void check_again(const struct frame *frame, struct arena *arena)
{
    struct buf out = buf_new(FRAME_MAX_BYTES);
    struct frame again;

    CHECK(frame_write(frame, &out));
    CHECK(frame_read(buf_str(&out), arena, &again) == FRAME_SOUND);
    CHECK(str_eq(again.key, frame->key) && str_eq(again.body, frame->body) &&
          str_eq(again.vary_key, frame->vary_key) && again.status == frame->status &&
          again.lifetime_s == frame->lifetime_s && again.fields.count == frame->fields.count &&
          again.tags.count == frame->tags.count && again.place.ms == frame->place.ms);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(4096, 1 << 22);
    char *copy = malloc(size + 1);
    struct str bytes = str_at(copy, size), piece;
    struct frame frame;

    CHECK(arena != NULL && copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    if (size >= FRAME_SUM_AT + 8) {
        uint64_t sum = frame_sum(bytes);

        for (int i = 0; i < 8; i++)
            copy[FRAME_SUM_AT + i] = (char)(sum >> (8 * i) & 0xff);
    }
    if (frame_read(bytes, arena, &frame) == FRAME_SOUND) {
        check_frame(&frame, bytes);
        check_again(&frame, arena);
    }
    frame.body_bytes = size;
    if (frame_read_chunk(bytes, &frame, 0, &piece))
        check_inside(piece, bytes);
    free(copy);
    arena_free(&arena);
    return 0;
}
