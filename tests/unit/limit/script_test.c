/* script_test.c - three who must agree: the real script in a real Redis, the memory store, and a
 * slow obvious model that keeps every admission in a list.
 *
 * Random policies, costs, gifts back, charges and clocks; a hundred thousand decisions, a million
 * with LIMIT_STEPS=1000000. The script runs with one line replaced, the one that reads the
 * clock, and a test asserts that it is that one line. */
#include "redis_fixture.h"

#include "limit/store_priv.h"

static const struct hash_key seed = {{17, 42}};
enum { CLIENTS = 40, POLICIES = 12, LOG = 1 << 14 };
#define MONTH_MS INT64_C(2678400000)

static uint64_t next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return *state >> 33;
}

/* ---- the model: everything that was admitted, and sums over it ---- */

struct taken {
    uint64_t at_us;
    int64_t cost; /* negative: given back */
};
struct model {
    struct taken *log; /* of one client and window */
    size_t count;
    uint64_t anchor_us; /* sliding, fixed: when the current window began */
    uint64_t debt_ns, debt_at_us;
};

static int64_t sum(const struct model *model, uint64_t from_us, uint64_t to_us)
{
    int64_t total = 0;

    for (size_t i = model->count; i-- > 0;)
        if (model->log[i].at_us >= from_us && model->log[i].at_us < to_us)
            total += model->log[i].cost;
    return total > 0 ? total : 0;
}

static void forget_before(struct model *model, uint64_t at_us)
{
    size_t kept = 0;

    for (size_t i = 0; i < model->count; i++)
        if (model->log[i].at_us >= at_us)
            model->log[kept++] = model->log[i];
    model->count = kept;
}

static uint64_t period_of(const struct window_config *window)
{
    return (uint64_t)window->period_ms * 1000;
}

/* What is used now, in the units of `room`. */
static void model_roll(struct model *model, const struct window_config *window, uint64_t now_us)
{
    uint64_t period = period_of(window), passed;

    switch (window->kind) {
    case WINDOW_BUCKET:
        passed = (now_us - model->debt_at_us) * 1000;
        model->debt_ns = model->debt_ns > passed ? model->debt_ns - passed : 0;
        model->debt_at_us = now_us;
        break;
    case WINDOW_SLIDING:
        while (model->count > 0 && now_us >= model->anchor_us + period) {
            forget_before(model, model->anchor_us);
            model->anchor_us += period;
            if (sum(model, model->anchor_us - period, UINT64_MAX) == 0)
                model->count = 0;
        }
        break;
    case WINDOW_FIXED:
        if (now_us >= model->anchor_us + period)
            model->count = 0;
        break;
    case WINDOW_STRICT:
        forget_before(model, (now_us / (period / 8) - 8) * (period / 8));
        break;
    case WINDOW_CALENDAR:
        forget_before(model, calendar_span(window->period_ms, (int64_t)now_us).start_us);
        break;
    }
}

static bool model_allows(const struct model *model, const struct window_config *window,
                         uint64_t cost, uint64_t now_us)
{
    uint64_t period = period_of(window), gone;
    int64_t used, before, left;

    switch (window->kind) {
    case WINDOW_BUCKET:
        return model->debt_ns + cost * ((period * 1000 + window->limit - 1) / window->limit) <=
               window->burst * ((period * 1000 + window->limit - 1) / window->limit);
    case WINDOW_SLIDING:
        used = sum(model, model->anchor_us, UINT64_MAX);
        before = sum(model, model->anchor_us - period, model->anchor_us);
        gone = used + before > 0 ? now_us - model->anchor_us : 0;
        left = (int64_t)window->limit - used - (int64_t)cost;
        return left >= 0 &&
               (double)left * (double)period >= (double)before * (double)(period - gone);
    case WINDOW_FIXED:
    case WINDOW_STRICT:
    case WINDOW_CALENDAR:
        return sum(model, 0, UINT64_MAX) + (int64_t)cost <= (int64_t)window->limit;
    }
    return false;
}

static void model_add(struct model *model, const struct window_config *window, int64_t cost,
                      uint64_t now_us)
{
    int64_t least = 0;

    if (window->kind == WINDOW_BUCKET) {
        uint64_t step = (period_of(window) * 1000 + window->limit - 1) / window->limit;
        uint64_t change = step * (uint64_t)(cost > 0 ? cost : -cost);

        if (cost > 0)
            model->debt_ns += change;
        else
            model->debt_ns -= change < model->debt_ns ? change : model->debt_ns;
        return;
    }
    if (cost < 0) { /* no more than the newest count holds */
        if (window->kind == WINDOW_SLIDING)
            least = sum(model, model->anchor_us, UINT64_MAX);
        else if (window->kind == WINDOW_STRICT)
            least =
                sum(model, now_us / (period_of(window) / 8) * (period_of(window) / 8), UINT64_MAX);
        else
            least = sum(model, 0, UINT64_MAX);
        cost = -cost < least ? cost : -least;
        if (cost == 0)
            return;
    } else if (sum(model, 0, UINT64_MAX) == 0) {
        model->count = 0;
        model->anchor_us = now_us;
    }
    assert_true(model->count < LOG);
    model->log[model->count++] = (struct taken){now_us, cost};
    if (sum(model, 0, UINT64_MAX) == 0)
        model->count = 0;
}

/* ---- the three ---- */

struct world {
    struct server server;
    struct limiter *limiter;
    struct window_set policies[POLICIES];
    struct model *models; /* [client][policy][window] */
    uint64_t random, now_us;
    char sha1[41];
};

static void random_policy(struct world *world, struct window_set *set)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    static const enum window_kind usual[] = {WINDOW_BUCKET, WINDOW_SLIDING, WINDOW_SLIDING};
    uint32_t count = 1 + (uint32_t)next(&world->random) % 4;
    bool is_usual = count == 3 && next(&world->random) % 4 > 0; /* the script has a way for it */

    for (uint32_t i = 0; i < count; i++) {
        struct window_config *window = &set->at[i];

        window->name = str_of(names[i]);
        window->kind = is_usual ? usual[i] : (enum window_kind)(next(&world->random) % 5);
        window->limit = 1 + next(&world->random) % 40;
        window->burst = window->limit;
        window->period_ms = (int64_t)(1 + next(&world->random) % 600) * 1000;
        if (window->kind == WINDOW_BUCKET)
            window->burst = 1 + next(&world->random) % 40;
        if (window->kind == WINDOW_CALENDAR)
            window->period_ms = MONTH_MS;
    }
    set->count = count;
}

static struct model *models_of(struct world *world, uint32_t client, uint32_t policy)
{
    return &world->models[(client * POLICIES + policy) * CONFIG_MAX_WINDOWS];
}

static void load_script(struct world *world)
{
    struct buf text = buf_new(65536), out = buf_new(65536);
    const char *line = strstr(limit_script_source, limit_script_clock);
    int64_t number;

    assert_non_null(line);
    buf_add(&text, limit_script_source, (size_t)(line - limit_script_source));
    buf_add_str(&text, STR("local t = {ARGV[#ARGV - 1], ARGV[#ARGV]}\n"));
    buf_add_str(&text, str_of(line + strlen(limit_script_clock)));
    struct str words[] = {STR("SCRIPT"), STR("LOAD"), buf_str(&text)};
    server_send(&world->server, words, COUNT_OF(words));
    assert_int_equal(server_reply(&world->server, &out, &number), '$');
    assert_int_equal(out.len, 40);
    memcpy(world->sha1, out.ptr, 40);
    world->sha1[40] = '\0';
    buf_free(&text);
    buf_free(&out);
}

static void ask_script(struct world *world, enum packed_op op, uint32_t want, uint64_t cost,
                       const struct limit_policy *policies, uint32_t count, struct buf *out)
{
    char keys[2][PACKED_KEY_BYTES], seconds[24], micros[24], number[2] = {(char)('0' + count), 0};
    uint8_t ask[PACKED_ASK_BYTES];
    size_t len = packed_ask(op, want, cost, policies, count, (int64_t)world->now_us, ask);
    struct str words[8] = {STR("EVALSHA"), str_of(world->sha1), str_of(number)};
    size_t n = 3;
    int64_t items;

    for (uint32_t i = 0; i < count; i++)
        words[n++] = str_at(keys[i], packed_key(&policies[i], STR("t:"), keys[i]));
    words[n++] = str_at((const char *)ask, len);
    snprintf(seconds, sizeof(seconds), "%" PRIu64, world->now_us / 1000000);
    snprintf(micros, sizeof(micros), "%" PRIu64, world->now_us % 1000000);
    words[n++] = str_of(seconds);
    words[n++] = str_of(micros);
    server_send(&world->server, words, n);
    assert_int_equal(server_reply(&world->server, out, &items), '*');
    assert_int_equal(items, 1);
    assert_int_equal(server_reply(&world->server, out, &items), '$');
}

struct step {
    struct limit_policy policies[2];
    uint32_t ids[2], count, client, want;
    uint64_t cost;
    enum packed_op op;
};

static struct step random_step(struct world *world)
{
    struct step step = {.count = 1 + (next(&world->random) % 4 == 0),
                        .client = (uint32_t)next(&world->random) % CLIENTS,
                        .want = 1,
                        .cost = 1};
    struct hash128 home = {step.client * UINT64_C(0x9e3779b97f4a7c15), step.client};
    uint64_t dice = next(&world->random) % 20;

    step.ids[0] = (uint32_t)next(&world->random) % POLICIES;
    step.ids[1] = (step.ids[0] + 1) % POLICIES;
    for (uint32_t i = 0; i < step.count; i++)
        step.policies[i] =
            (struct limit_policy){&world->policies[step.ids[i]], {home.lo ^ step.ids[i], 5}, home};
    if (dice < 5)
        step.cost = 1 + next(&world->random) % 6;
    else if (dice < 8)
        step.want = 2 + (uint32_t)next(&world->random) % 5;
    else if (dice == 8)
        step.op = PACKED_GIVE_BACK;
    else if (dice == 9)
        step.want = 0;
    return step;
}

static bool model_take(struct world *world, const struct step *step)
{
    bool allowed = true;

    for (uint32_t p = 0; p < step->count; p++) {
        struct model *models = models_of(world, step->client, step->ids[p]);
        const struct window_set *set = step->policies[p].windows;

        for (uint32_t i = 0; i < set->count; i++) {
            model_roll(&models[i], &set->at[i], world->now_us);
            allowed = allowed && model_allows(&models[i], &set->at[i], step->cost, world->now_us);
        }
    }
    return allowed;
}

static void model_change(struct world *world, const struct step *step, int64_t cost)
{
    for (uint32_t p = 0; p < step->count; p++) {
        struct model *models = models_of(world, step->client, step->ids[p]);
        const struct window_set *set = step->policies[p].windows;

        for (uint32_t i = 0; i < set->count; i++) {
            model_roll(&models[i], &set->at[i], world->now_us);
            model_add(&models[i], &set->at[i], cost, world->now_us);
        }
    }
}

static void same_state(const struct limit_state *a, const struct limit_state *b, int number)
{
    bool same = a->allowed == b->allowed && a->count == b->count && a->worst == b->worst;

    for (uint32_t i = 0; same && i < a->count; i++)
        same = a->windows[i].remaining == b->windows[i].remaining &&
               a->windows[i].reset_us == b->windows[i].reset_us &&
               a->windows[i].retry_us == b->windows[i].retry_us &&
               a->windows[i].next_us == b->windows[i].next_us &&
               a->windows[i].refuses == b->windows[i].refuses;
    if (!same)
        fail_msg("step %d: the script's record and the memory store tell different things", number);
}

static void run_step(struct world *world, int number, struct buf *out)
{
    struct step step = random_step(world);
    const struct window_config *windows[LIMIT_MAX_WINDOWS];
    uint32_t count = decision_windows(step.policies, step.count, windows);
    struct limit_time now = {world->now_us, (int64_t)world->now_us};
    struct packed_answer answer;
    uint32_t granted = 0;

    ask_script(world, step.op, step.want, step.cost, step.policies, step.count, out);
    if (!packed_answer_read(buf_str(out), windows, count, &answer))
        fail_msg("step %d: no answer", number);
    assert_int_equal(answer.now.mono_us, world->now_us);
    if (step.op == PACKED_GIVE_BACK) {
        limit_give_back(world->limiter, step.policies, step.count, step.cost, now);
        model_change(world, &step, -(int64_t)step.cost);
        return;
    }
    for (uint32_t i = 0; i <= step.want; i++) { /* at last a look, or the refusal's state */
        uint64_t cost = i < step.want ? step.cost : 0;
        struct limit_state from_script, from_memory;
        bool in_model = model_take(world, &step);

        decision_take(windows, answer.records, count, cost, answer.now, &from_script);
        limit_take(world->limiter, step.policies, step.count, cost, now, &from_memory);
        same_state(&from_script, &from_memory, number);
        if (i == step.want)
            break;
        if (in_model != from_memory.allowed)
            fail_msg("step %d: the model says %d", number, in_model);
        if (in_model)
            model_change(world, &step, (int64_t)step.cost);
        granted += from_memory.allowed;
    }
    if (granted != answer.granted)
        fail_msg("step %d: the script granted %u, the memory store %u", number, answer.granted,
                 granted);
}

static void all_three_agree(void **state)
{
    const char *wanted = getenv("LIMIT_STEPS");
    int steps = wanted != NULL ? (int)strtol(wanted, NULL, 10) : 100000;
    struct world *world = calloc(1, sizeof(*world));
    struct buf out = buf_new(65536);
    uint32_t usual = 0;

    (void)state;
    if (!server_is_installed())
        skip();
    server_start(&world->server);
    load_script(world);
    world->limiter = limiter_new(1000000, &seed);
    world->random = 2026;
    world->now_us = UINT64_C(1763700000000000);
    for (uint32_t i = 0; i < POLICIES; i++) {
        const struct window_set *set = &world->policies[i];

        random_policy(world, &world->policies[i]);
        usual += set->count == 3 && set->at[0].kind == WINDOW_BUCKET &&
                 set->at[1].kind == WINDOW_SLIDING && set->at[2].kind == WINDOW_SLIDING;
    }
    assert_true(usual > 0 && usual < POLICIES);
    size_t models = CLIENTS * POLICIES * CONFIG_MAX_WINDOWS;
    world->models = calloc(models, sizeof(*world->models));
    for (size_t i = 0; i < models; i++) {
        world->models[i].log = malloc(LOG * sizeof(struct taken));
        world->models[i].debt_at_us = world->now_us;
    }
    for (int i = 0; i < steps; i++) {
        uint64_t pace = next(&world->random) % 100;

        world->now_us += next(&world->random) % (pace < 2    ? UINT64_C(900000000)
                                                 : pace < 60 ? UINT64_C(2000000)
                                                             : 200000);
        run_step(world, i, &out);
    }
    server_stop(&world->server);
    for (size_t i = 0; i < models; i++)
        free(world->models[i].log);
    free(world->models);
    limiter_free(&world->limiter);
    buf_free(&out);
    free(world);
}

/* The line that the test replaces stands once in the script, and nothing else reads a clock. */
static void the_clock_is_one_line(void **state)
{
    const char *line = strstr(limit_script_source, limit_script_clock);

    (void)state;
    assert_non_null(line);
    assert_null(strstr(line + 1, limit_script_clock));
    assert_null(strstr(line + strlen(limit_script_clock), "TIME"));
    assert_null(strstr(limit_script_source, "os."));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clock_is_one_line),
        cmocka_unit_test(all_three_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
