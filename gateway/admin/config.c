/* config.c - the configuration in force, and a new one.
 *
 * Secrets are masked where config/ writes them, so there is one place that knows which they
 * are. A reload happens where main.c does it for SIGHUP; here its faults become the answer.
 * Main thread. */
#include "admin/admin_priv.h"

enum { FAULTS_MOST_BYTES = 1024 * 1024 };

void get_config(struct call *call)
{
    /* over its ceiling: answer_json() says so */
    (void)!config_write(call->config, &call->question->text, true);
    answer_json(call, 200);
}

void post_config_reload(struct call *call)
{
    const struct admin_hooks *hooks = &call->admin->hooks;
    struct buf *out = &call->question->text;
    struct buf faults = buf_new(FAULTS_MOST_BYTES);
    bool ok = hooks->reload(hooks->arg, &faults);

    call->detail = ok ? STR("reloaded=true") : STR("reloaded=false");
    if (ok) {
        buf_add_str(out, STR("{\"reloaded\":true}"));
    } else {
        buf_add_str(out, STR("{\"reloaded\":false,\"faults\":"));
        buf_add_str(out, faults.is_broken || faults.len == 0 ? STR("[]") : buf_str(&faults));
        buf_add_char(out, '}');
    }
    buf_free(&faults);
    answer_json(call, ok ? 200 : 422);
}
