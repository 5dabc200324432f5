/* shop.c - the API that a person would recognise: products, categories, accounts and the like.
 *
 * Products are a table in memory that POST, PUT, PATCH and DELETE really change, so that an
 * invalidated cache shows. The rest is made up from the id, the same each time. A body is a flat
 * JSON object; only its members name, category, price and stock are read. */
#include "origin.h"

#include <stdio.h>
#include <stdlib.h>

#define PRODUCTS_MAX 1000

static struct product {
    bool is_there;
    char name[64], category[32];
    double price;
    uint64_t stock, revision;
} products[PRODUCTS_MAX + 1]; /* by id, from 1 */
static size_t product_last;
static struct text body;

static const char *const categories[] = {"beauty", "books", "garden", "kitchen", "tools"};

static void fill_products(void)
{
    static const char *const adjectives[] = {"Plain", "Sturdy", "Quiet", "Bright", "Small"};
    static const char *const things[] = {"Lamp",   "Kettle", "Notebook", "Hammer", "Brush",
                                         "Basket", "Mirror", "Shovel",   "Cup",    "Clock"};

    if (product_last > 0)
        return;
    for (size_t id = 1; id <= 50; id++) {
        struct product *p = &products[id];

        (void)snprintf(p->name, sizeof p->name, "%s %s", adjectives[(id - 1) / 10],
                       things[id % 10]);
        (void)snprintf(p->category, sizeof p->category, "%s", categories[id % 5]);
        p->price = 4.99 + (double)(id * 7 % 90);
        p->stock = id * 13 % 100;
        p->revision = 1;
        p->is_there = true;
    }
    product_last = 50;
}

/* ---- reading a flat object ---- */

/* The value of a member: a string without its quotes, or a bare word. Escapes are not decoded. */
static bool find_member(struct slice json, const char *name, struct slice *value)
{
    char quoted[40];
    const char *at, *end = json.ptr + json.len, *start;
    int len = snprintf(quoted, sizeof quoted, "\"%s\"", name);

    at = json.len == 0 ? NULL : memmem(json.ptr, json.len, quoted, (size_t)len);
    if (at == NULL)
        return false;
    for (at += len; at < end && (*at == ' ' || *at == ':'); at++) {
    }
    start = at + (at < end && *at == '"');
    for (at = start; at < end && *at != '"' && *at != ',' && *at != '}'; at++) {
    }
    *value = (struct slice){start, (size_t)(at - start)};
    return true;
}

static bool is_object(struct slice json)
{
    while (json.len > 0 && strchr(" \r\n\t", json.ptr[json.len - 1]) != NULL)
        json.len--;
    return json.len >= 2 && json.ptr[0] == '{' && json.ptr[json.len - 1] == '}';
}

static void copy_words(char *room, size_t room_len, struct slice words)
{
    (void)snprintf(room, room_len, "%.*s", SLICE_ARG(words));
}

static void change_product(struct product *p, struct slice json)
{
    struct slice value;
    char number[32];

    if (find_member(json, "name", &value))
        copy_words(p->name, sizeof p->name, value);
    if (find_member(json, "category", &value))
        copy_words(p->category, sizeof p->category, value);
    if (find_member(json, "price", &value)) {
        copy_words(number, sizeof number, value);
        p->price = strtod(number, NULL);
    }
    if (find_member(json, "stock", &value)) {
        copy_words(number, sizeof number, value);
        p->stock = strtoull(number, NULL, 10);
    }
    p->is_there = true;
    p->revision++;
}

/* ---- products ---- */

static void add_product(size_t id)
{
    const struct product *p = &products[id];

    text_addf(&body, "{\"id\":%zu,\"name\":", id);
    text_json(&body, (struct slice){p->name, strlen(p->name)});
    text_put(&body, ",\"category\":");
    text_json(&body, (struct slice){p->category, strlen(p->category)});
    text_addf(&body, ",\"price\":%.2f,\"stock\":%llu,\"revision\":%llu}", p->price,
              (unsigned long long)p->stock, (unsigned long long)p->revision);
}

static void list_products(struct conn *conn)
{
    uint64_t limit = query_number(conn->head.query, "limit", 20);
    uint64_t skip = query_number(conn->head.query, "skip", 0), seen = 0, shown = 0;

    body.len = 0;
    text_put(&body, "{\"products\":[");
    for (size_t id = 1; id <= product_last; id++) {
        if (!products[id].is_there || seen++ < skip || shown >= limit)
            continue;
        text_put(&body, shown++ > 0 ? "," : "");
        add_product(id);
    }
    text_addf(&body, "],\"total\":%llu,\"skip\":%llu,\"limit\":%llu}\n", (unsigned long long)seen,
              (unsigned long long)skip, (unsigned long long)limit);
    answer_json(conn, 200, &body);
}

static void show_product(struct conn *conn, size_t id, int status)
{
    char headers[160], location[48] = "", tag[32];

    (void)snprintf(tag, sizeof tag, "\"p%zu-%llu\"", id, (unsigned long long)products[id].revision);
    if (status == 200 && slice_is(conn->head.method, "GET") &&
        slice_is(find_header(&conn->head, "If-None-Match"), tag)) {
        (void)snprintf(headers, sizeof headers, "ETag: %s\r\n", tag);
        answer_with(conn, 304, headers, (struct slice){"", 0});
        return;
    }
    body.len = 0;
    add_product(id);
    text_put(&body, "\n");
    if (status == 201)
        (void)snprintf(location, sizeof location, "Location: /products/%zu\r\n", id);
    (void)snprintf(headers, sizeof headers, "Content-Type: application/json\r\nETag: %s\r\n%s", tag,
                   location);
    answer_with(conn, status, headers, text_slice(&body));
}

static void post_product(struct conn *conn)
{
    struct slice json = text_slice(&conn->body.first);

    if (!is_object(json)) {
        answer_fault(conn, 400, "A product is a JSON object.");
    } else if (product_last == PRODUCTS_MAX) {
        answer_fault(conn, 409, "The table is full.");
    } else {
        products[++product_last] = (struct product){.name = "Unnamed", .category = "tools"};
        change_product(&products[product_last], json);
        show_product(conn, product_last, 201);
    }
}

static void one_product(struct conn *conn, struct slice rest)
{
    struct slice method = conn->head.method, json = text_slice(&conn->body.first);
    uint64_t id;

    if (!slice_number(rest, &id) || id == 0 || id > product_last || !products[id].is_there) {
        answer_fault(conn, 404, "There is no such product.");
    } else if (slice_is(method, "GET") || slice_is(method, "HEAD")) {
        show_product(conn, (size_t)id, 200);
    } else if (slice_is(method, "DELETE")) {
        products[id].is_there = false;
        answer_with(conn, 204, "", SLICE(""));
    } else if (!slice_is(method, "PUT") && !slice_is(method, "PATCH")) {
        answer_fault(conn, 405, "A product knows GET, PUT, PATCH and DELETE.");
    } else if (!is_object(json)) {
        answer_fault(conn, 400, "A product is a JSON object.");
    } else {
        change_product(&products[id], json);
        show_product(conn, (size_t)id, 200);
    }
}

void show_products(struct conn *conn, struct slice rest)
{
    bool is_list = slice_is(conn->head.path, "/products");

    fill_products();
    if (!is_list)
        one_product(conn, rest);
    else if (slice_is(conn->head.method, "POST"))
        post_product(conn);
    else
        list_products(conn);
}

/* ---- the rest, made up from the id ---- */

void show_categories(struct conn *conn, struct slice rest)
{
    (void)rest;
    body.len = 0;
    text_put(&body, "{\"categories\":[");
    for (size_t i = 0; i < COUNT_OF(categories); i++)
        text_addf(&body, "%s\"%s\"", i > 0 ? "," : "", categories[i]);
    text_put(&body, "]}\n");
    answer_json(conn, 200, &body);
}

/* /accounts, /accounts/{id}, /accounts/{id}/balance; the path may hold a user, so: private. */
void show_accounts(struct conn *conn, struct slice rest)
{
    const char *slash = rest.len == 0 ? NULL : memchr(rest.ptr, '/', rest.len);
    struct slice id = {rest.ptr, slash == NULL ? rest.len : (size_t)(slash - rest.ptr)};
    uint64_t hash = fnv1a64(FNV_START, id.ptr, id.len);
    unsigned balance = (unsigned)(hash % 1000000);

    body.len = 0;
    if (id.len == 0) {
        text_put(&body, "{\"accounts\":[{\"id\":\"1001\"},{\"id\":\"1002\"},{\"id\":\"1003\"}]}\n");
    } else if (slash == NULL) {
        text_put(&body, "{\"id\":");
        text_json(&body, id);
        text_addf(&body, ",\"currency\":\"EUR\",\"kind\":\"%s\",\"opened\":\"20%02u-03-01\"}\n",
                  hash % 2 == 0 ? "current" : "savings", (unsigned)(hash / 7 % 25));
    } else if (strncmp(slash, "/balance", rest.len - id.len) == 0 && rest.len - id.len == 8) {
        text_put(&body, "{\"account\":");
        text_json(&body, id);
        text_addf(&body, ",\"balance\":%u.%02u,\"currency\":\"EUR\"}\n", balance / 100,
                  balance % 100);
    } else {
        answer_fault(conn, 404, "An account has a balance and nothing else.");
        return;
    }
    answer_with(conn, 200, "Content-Type: application/json\r\nCache-Control: private\r\n",
                text_slice(&body));
}

void show_profiles(struct conn *conn, struct slice rest)
{
    body.len = 0;
    text_put(&body, "{\"id\":");
    text_json(&body, rest);
    text_put(&body, ",\"email\":\"user-");
    text_addf(&body, "%llx@example.com\",\"plan\":\"free\",\"locale\":\"en\"}\n",
              (unsigned long long)fnv1a64(FNV_START, rest.ptr, rest.len) >> 40);
    answer_json(conn, 200, &body);
}

void show_transactions(struct conn *conn, struct slice rest)
{
    struct slice account = SLICE("1001");

    (void)rest;
    (void)query_find(conn->head.query, "account", &account);
    body.len = 0;
    text_put(&body, "{\"account\":");
    text_json(&body, account);
    text_put(&body, ",\"transactions\":[");
    for (unsigned i = 1; i <= 10; i++) {
        uint64_t amount = fnv1a64(FNV_START + i, account.ptr, account.len) % 50000;

        text_addf(&body, "%s{\"id\":%u,\"amount\":%u.%02u,\"at\":\"2025-01-%02uT09:00:00Z\"}",
                  i > 1 ? "," : "", i, (unsigned)amount / 100, (unsigned)amount % 100, i);
    }
    text_put(&body, "]}\n");
    answer_json(conn, 200, &body);
}

void show_models(struct conn *conn, struct slice rest)
{
    (void)rest;
    answer(conn, 200, "application/json",
           SLICE("{\"models\":[{\"id\":\"sample-small\",\"context\":8192},"
                 "{\"id\":\"sample-large\",\"context\":131072},"
                 "{\"id\":\"sample-vision-1\",\"context\":32768}]}\n"));
}

void show_analytics(struct conn *conn, struct slice rest)
{
    (void)rest;
    fill_products();
    body.len = 0;
    text_addf(&body, "{\"visits\":18230,\"orders\":412,\"products\":%zu,\"uptime_ms\":%llu}\n",
              product_last, (unsigned long long)now_ms());
    answer_json(conn, 200, &body);
}
