/* usage_list.c - rows of usage put together and in order: this gateway's, and those of the store.
 *
 * A list is a plain array, sorted at the end; what stands for the same hour, client and route is
 * joined then. A scan of the store may tell a row twice, at two moments: the larger one counts,
 * since rows only grow. Copies are made while a shard is locked, and nothing else.
 *
 * Any thread; a list belongs to one. */
#include "limit/usage_priv.h"

#include <stdlib.h>

bool usage_list_add(struct usage_list *list, const struct usage_item *item)
{
    size_t names = item->client_len + 1 + strlen(item->names + item->client_len + 1) + 1;
    struct usage_item *kept;

    if (list->count == USAGE_LIST_MOST)
        return false;
    if (list->count == list->room) {
        size_t room = list->room > 0 ? list->room * 2 : 64;
        struct usage_item *items = realloc(list->items, room * sizeof(*items));

        if (items == NULL)
            return false;
        list->items = items;
        list->room = room;
    }
    kept = &list->items[list->count];
    *kept = *item;
    kept->names = malloc(names);
    if (kept->names == NULL)
        return false;
    memcpy(kept->names, item->names, names);
    list->count++;
    return true;
}

static bool fits(const struct usage_row *row, const struct limit_usage_filter *filter)
{
    int64_t hour_s = (int64_t)row->hour * USAGE_HOUR_S;

    if (row->hour == 0 || hour_s < filter->from_s || hour_s >= filter->to_s)
        return false;
    return !filter->has_client ||
           (row->client.lo == filter->client.lo && row->client.hi == filter->client.hi);
}

static bool gather_shard(struct usage_list *list, const struct usage_shard *shard,
                         const struct limit_usage_filter *filter, bool only_news)
{
    for (uint32_t i = 0; i < shard->room; i++) {
        const struct usage_row *row = &shard->rows[i];
        struct usage_item item = {.client = row->client,
                                  .hour = row->hour,
                                  .client_len = row->client_len,
                                  .is_ours = true,
                                  .names = row->names};

        if (!fits(row, filter))
            continue;
        item.usage = only_news ? usage_news_of(row) : row->usage;
        if (item.usage.requests > 0 && !usage_list_add(list, &item))
            return false;
    }
    return true;
}

bool usage_list_gather(struct usage_list *list, struct limiter *limiter,
                       const struct limit_usage_filter *filter, bool only_news)
{
    bool ok = true;

    for (uint32_t i = 0; i < USAGE_SHARDS && ok; i++) {
        pthread_mutex_lock(&limiter->usage[i].lock);
        ok = gather_shard(list, &limiter->usage[i], filter, only_news);
        pthread_mutex_unlock(&limiter->usage[i].lock);
    }
    return ok;
}

static int by_hour(const void *a, const void *b)
{
    const struct usage_item *one = a, *other = b;
    int order;

    if (one->hour != other->hour)
        return one->hour < other->hour ? -1 : 1;
    order = strcmp(one->names, other->names);
    if (order == 0)
        order = strcmp(one->names + one->client_len + 1, other->names + other->client_len + 1);
    if (order == 0)
        order = memcmp(&one->client, &other->client, sizeof(one->client));
    return order;
}

void usage_list_each(struct usage_list *list, limit_usage_fn *fn, void *arg)
{
    bool goes_on = true;
    size_t next;

    if (list->count > 0)
        qsort(list->items, list->count, sizeof(*list->items), by_hour);
    for (size_t i = 0; i < list->count && goes_on; i = next) {
        const struct usage_item *item = &list->items[i];
        struct limit_usage told = {0}, news = {0};
        struct limit_usage_row row = {str_at(item->names, item->client_len),
                                      str_of(item->names + item->client_len + 1),
                                      (int64_t)item->hour * USAGE_HOUR_S,
                                      {0}};

        for (next = i; next < list->count && by_hour(item, &list->items[next]) == 0; next++) {
            if (list->items[next].is_ours)
                usage_add(&news, &list->items[next].usage);
            else if (list->items[next].usage.requests > told.requests)
                told = list->items[next].usage;
        }
        usage_add(&told, &news);
        row.usage = told;
        goes_on = fn(arg, &row);
    }
}

void usage_list_free(struct usage_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].names);
    free(list->items);
    *list = (struct usage_list){NULL, 0, 0};
}

bool limit_usage_each(struct limiter *limiter, const struct limit_usage_filter *filter,
                      limit_usage_fn *fn, void *arg)
{
    struct usage_list list = {NULL, 0, 0};
    bool ok = usage_list_gather(&list, limiter, filter, false);

    if (ok)
        usage_list_each(&list, fn, arg);
    usage_list_free(&list);
    return ok;
}
