/* image.h - is this picture nearly that one?
 *
 * A picture in a request's body is hostile until it is decoded: the decoders run within hard
 * bounds on sides, pixels, scans, memory and time, and what a library warns of is an error.
 * The hash has the same bits as phash(hash_size=16) of the Python library imagehash, so that
 * other programs may share what is stored under it.
 * Pure functions without state; any thread, but never a loop's: one call may take
 * IMAGE_MOST_MS. */
#ifndef GATEWAY_IMAGE_H
#define GATEWAY_IMAGE_H
#include "base/base.h"

enum image_bounds {
    IMAGE_MOST_PIXELS = 40 * 1000 * 1000, /* a row at a time; decoded whole: as memory allows */
    IMAGE_MOST_SIDE = 16384,
    IMAGE_MOST_SCANS = 100,               /* of a progressive JPEG; passes of a PNG are seven */
    IMAGE_MOST_MEMORY = 64 * 1024 * 1024, /* bytes that one decoder may ask for */
    IMAGE_MOST_MS = 100 /* of the processor: a machine that is busy otherwise refuses nobody */
};

enum image_result {
    IMAGE_HASHED,
    IMAGE_UNKNOWN, /* no JPEG, PNG or WebP */
    IMAGE_BROKEN,  /* truncated, damaged, or anything that its library warns of */
    IMAGE_TOO_BIG, /* sides, pixels, scans or memory */
    IMAGE_TOO_SLOW,
    IMAGE_BLANK /* too plain: every such picture would have nearly the same hash */
};
const char *image_result_name(enum image_result result); /* a slug, static */

/* 256 bits: the first is the highest of at[0]. */
struct image_hash {
    uint64_t at[4];
};
enum { IMAGE_HASH_DIGITS = 64 };
/* How many bits differ: 0 to 256. */
uint32_t image_distance(const struct image_hash *a, const struct image_hash *b);
/* 64 hex digits as imagehash prints them, and a NUL. */
void image_hash_write(const struct image_hash *hash, char hex[IMAGE_HASH_DIGITS + 1]);

/* The same back; false: it is not 64 of 0-9a-f. */
bool image_hash_read(struct str hex, struct image_hash *hash) MUST_USE;

/* Do these bytes begin as a JPEG, a PNG or a WebP does? Costs nothing. */
bool image_is_known(struct str bytes);
/* Decodes `bytes` (borrowed) and hashes what it shows. *hash is set for IMAGE_HASHED alone. */
enum image_result image_hash(struct str bytes, struct image_hash *hash) MUST_USE;

#endif
