/* frame_priv.h - an entry as bytes in the store: what gateways of one version and the next hand
 * each other.
 *
 * Little-endian, a magic and a version first, then a checksum over all that follows: what is of
 * another version, cut, or damaged is no frame, and the reader does without. A rule is a frame
 * that names the Vary fields alone; the answers stand beside it, one for each variant. A body
 * longer than FRAME_CHUNK stands in chunks, each with the nonce of its frame, so that pieces of two
 * answers are never put together. Pure functions; any thread. */
#ifndef GATEWAY_CACHE_FRAME_PRIV_H
#define GATEWAY_CACHE_FRAME_PRIV_H
#include "cache/cache_priv.h"

#define FRAME_CHUNK      ((size_t)256 * 1024)
#define FRAME_MAX_BODY   ((size_t)4 * 1024 * 1024)
#define FRAME_MAX_FIELDS 1024
#define FRAME_MAX_TAGS   4096
#define FRAME_MAX_BYTES  (FRAME_CHUNK + (size_t)1024 * 1024)

struct frame {
    bool is_rule; /* key and vary_names alone count */
    int status;
    bool must_revalidate, always_revalidate;
    enum http_lifetime_source source;
    int64_t created_us; /* wall clock: the head's arrival */
    int64_t initial_age_s, lifetime_s, stale_while_revalidate_s, stale_if_error_s,
        stale_if_unreachable_s, date_s;
    uint64_t fetch_us;
    struct cache_place place; /* how far the writer had applied purges when its fetch began */
    struct str key, vary_names, vary_key;
    struct http_fields fields;
    struct str_list tags;
    struct str body; /* empty when it stands in chunks */
    uint64_t body_bytes, nonce;
};

/* Appends it. False: the buffer's ceiling, or more than a frame may hold. */
bool frame_write(const struct frame *frame, struct buf *out) MUST_USE;
/* What stands in the eight bytes at FRAME_SUM_AT of a frame of at least FRAME_SUM_AT + 8 bytes. */
#define FRAME_SUM_AT 8
uint64_t frame_sum(struct str bytes);
enum frame_fault { FRAME_SOUND, FRAME_DAMAGED, FRAME_OTHER_VERSION };
/* Slices into bytes; lists in the arena. Total on any bytes. */
enum frame_fault frame_read(struct str bytes, struct arena *arena, struct frame *frame) MUST_USE;

uint32_t frame_chunks(const struct frame *frame); /* 0: the body is in the frame */
bool frame_write_chunk(uint64_t nonce, uint32_t index, struct str piece,
                       struct buf *out) MUST_USE; /* appends */
/* The piece `index` of the frame's body, of exactly the length that it must have. False: another's,
 * or damaged. */
bool frame_read_chunk(struct str bytes, const struct frame *frame, uint32_t index,
                      struct str *piece) MUST_USE;

#endif
