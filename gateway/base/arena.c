/* arena.c - memory that lives exactly as long as its owner.
 *
 * A request takes a hundred small pieces and gives them all back at once, so a
 * piece costs one addition and needs no free(). The first block stays over a
 * reset: a recycled request touches malloc() only if it is larger than usual.
 * A piece larger than half a block gets a block of its own, and what is free in
 * the current one stays in use.
 *
 * Under AddressSanitizer what was not handed out is poisoned, so reading past
 * a piece, or after a reset, is caught. One thread at a time. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONS 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONS 1
#endif
#ifdef ARENA_POISONS
#include <sanitizer/asan_interface.h>
#ifndef __clang__ /* gcc takes a pointer to const for a wish to read */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#define POISON(ptr, size)   __asan_poison_memory_region(ptr, size)
#define UNPOISON(ptr, size) __asan_unpoison_memory_region(ptr, size)
#else
#define POISON(ptr, size)   ((void)(ptr), (void)(size))
#define UNPOISON(ptr, size) ((void)(ptr), (void)(size))
#endif

enum { ALIGNMENT = 16 };

struct block {
    struct block *next;
    size_t size;
    _Alignas(ALIGNMENT) char bytes[];
};

struct arena {
    struct block *first; /* kept over a reset */
    struct block *more;  /* all others, newest first */
    char *free_at;       /* where the next small piece comes from, in whichever block */
    size_t free_bytes;
    size_t block_bytes, max_bytes;
    size_t total; /* of all blocks, without their heads */
};

static size_t aligned(size_t size)
{
    return (size + (ALIGNMENT - 1)) & ~(size_t)(ALIGNMENT - 1);
}

static struct block *block_new(struct arena *arena, size_t size)
{
    struct block *block = malloc(sizeof(*block) + size);

    if (block == NULL)
        return NULL;
    block->next = NULL;
    block->size = size;
    arena->total += size;
    POISON(block->bytes, size);
    return block;
}

struct arena *arena_new(size_t block_bytes, size_t max_bytes)
{
    struct arena *arena = calloc(1, sizeof(*arena));

    if (arena == NULL)
        return NULL;
    arena->block_bytes = aligned(block_bytes > 0 ? block_bytes : ALIGNMENT);
    arena->max_bytes = max_bytes;
    if (arena->block_bytes > max_bytes)
        arena->block_bytes = max_bytes & ~(size_t)(ALIGNMENT - 1);
    arena->first = block_new(arena, arena->block_bytes);
    if (arena->first == NULL) {
        free(arena);
        return NULL;
    }
    arena_reset(arena);
    return arena;
}

static void free_but_first(struct arena *arena)
{
    while (arena->more != NULL) {
        struct block *block = arena->more;
        arena->more = block->next;
        free(block);
    }
}

void arena_free(struct arena **arena)
{
    if (arena == NULL || *arena == NULL)
        return;
    free_but_first(*arena);
    free((*arena)->first);
    free(*arena);
    *arena = NULL;
}

void arena_reset(struct arena *arena)
{
    free_but_first(arena);
    arena->free_at = arena->first->bytes;
    arena->free_bytes = arena->first->size;
    arena->total = arena->first->size;
    POISON(arena->first->bytes, arena->first->size);
}

/* A piece that does not fit what is free; `size` is aligned. */
static void *take_from_new_block(struct arena *arena, size_t size)
{
    size_t left = arena->max_bytes - arena->total;
    bool is_large = size > arena->block_bytes / 2;

    if (size > left)
        return NULL;
    /* the last block before the ceiling is as small as it must be */
    size_t block_bytes = is_large || arena->block_bytes > left ? size : arena->block_bytes;
    struct block *block = block_new(arena, block_bytes);
    if (block == NULL)
        return NULL;
    block->next = arena->more;
    arena->more = block;
    if (!is_large) {
        arena->free_at = block->bytes + size;
        arena->free_bytes = block_bytes - size;
    }
    return block->bytes;
}

void *arena_take(struct arena *arena, size_t size)
{
    size_t need = aligned(size > 0 ? size : 1);
    void *piece = arena->free_at;

    if (need < size)
        return NULL;
    if (need <= arena->free_bytes) {
        arena->free_at += need;
        arena->free_bytes -= need;
    } else {
        piece = take_from_new_block(arena, need);
    }
    if (piece != NULL)
        UNPOISON(piece, size);
    return piece;
}

void *arena_zero(struct arena *arena, size_t size)
{
    void *piece = arena_take(arena, size);

    return piece == NULL ? NULL : memset(piece, 0, size);
}

struct str arena_copy(struct arena *arena, struct str s)
{
    if (s.len == SIZE_MAX)
        return STR_NONE;
    char *copy = arena_take(arena, s.len + 1);
    if (copy == NULL)
        return STR_NONE;
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return str_at(copy, s.len);
}

struct str arena_printf(struct arena *arena, const char *format, ...)
{
    char text[256]; /* most fit, and are then formatted once */
    va_list args;

    va_start(args, format);
    int length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (length < 0)
        return STR_NONE;
    if ((size_t)length < sizeof(text))
        return arena_copy(arena, str_at(text, (size_t)length));
    char *piece = arena_take(arena, (size_t)length + 1);
    if (piece == NULL)
        return STR_NONE;
    va_start(args, format);
    vsnprintf(piece, (size_t)length + 1, format, args);
    va_end(args);
    return str_at(piece, (size_t)length);
}
