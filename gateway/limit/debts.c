/* debts.c - what was admitted while the server was away, charged when it is back.
 *
 * "Back" is a change of the whole client, or any answer: in a Cluster one node may have been away,
 * and an OOM or a READONLY ends without a change. A charge that still finds nobody is owed again.
 *
 * Only what it cannot have counted: a question that was late or lost on the way may have been
 * answered there, and is not owed. Bounded and direct-mapped: a newer debt takes the place of
 * another client's, whose counters then begin a little lower than the truth. Each is charged
 * whole, so the limit is reached sooner, never later. One worker's thread. */
#include "limit/link_priv.h"

#define PAY_EVERY_US 1000000

static bool is_same(const struct debt *debt, const struct limit_call *call)
{
    return debt->config == call->config && debt->policy_count == call->policy_count &&
           debt->policies[0].key.lo == call->policies[0].key.lo &&
           debt->policies[0].key.hi == call->policies[0].key.hi &&
           (debt->policy_count == 1 || (debt->policies[1].key.lo == call->policies[1].key.lo &&
                                        debt->policies[1].key.hi == call->policies[1].key.hi));
}

void debts_add(struct limit_store *store, const struct limit_call *call)
{
    struct debt *debt = &store->debts[call->policies[0].key.lo % DEBT_PLACES];

    if (debt->config != NULL && !is_same(debt, call)) {
        config_release(&debt->config);
        store->debt_count--;
    }
    if (debt->config == NULL) {
        store->debt_count++;
        *debt =
            (struct debt){.policy_count = call->policy_count, .config = config_hold(call->config)};
        memcpy(debt->policies, call->policies, sizeof(debt->policies));
    }
    debt->cost += call->cost;
}

void debts_owe(struct limit_store *store, const struct limit_group *group)
{
    struct limit_call call = {
        .policy_count = group->policy_count, .cost = group->cost, .config = group->config};

    memcpy(call.policies, group->policies, sizeof(call.policies));
    debts_add(store, &call);
}

void debts_pay(struct limit_store *store)
{
    store->pay_again_us = loop_now_us(store->loop) + PAY_EVERY_US;
    for (uint32_t i = 0; i < DEBT_PLACES && store->debt_count > 0; i++) {
        struct debt debt = store->debts[i];
        struct limit_call call = {.policy_count = debt.policy_count, .config = debt.config};

        if (debt.config == NULL)
            continue;
        store->debts[i].config = NULL; /* what cannot be sent comes back */
        store->debt_count--;
        memcpy(call.policies, debt.policies, sizeof(call.policies));
        store_change(store, &call, PACKED_CHARGE, debt.cost); /* here it is counted already */
        config_release(&debt.config);
    }
}

void debts_pay_soon(struct limit_store *store)
{
    if (store->debt_count > 0 && loop_now_us(store->loop) >= store->pay_again_us)
        debts_pay(store);
}

void debts_drop(struct limit_store *store)
{
    for (uint32_t i = 0; i < DEBT_PLACES; i++)
        config_release(&store->debts[i].config);
}
