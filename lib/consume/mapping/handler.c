/* What a handler is given besides the records, what it may ask for, and what its answer amounts to.
 *
 * A handler in C answers by a value, and by calls before it; one that hands its batch to another language answers with
 * the document that AWS Lambda's functions return (response.c), which comes to the same fields here. */
#include "consume/mapping/run.h"

#include <inttypes.h>

#include "consume/mapping/event_json.h"

lsi_outcome lsi_handler_outcome(ls_handler_answer answer, const ls_handler_context *context)
{
    const lsi_invocation *what = context->what;
    lsi_outcome outcome = {
        .kind = context->is_bad ? LSI_OUTCOME_BAD_RESPONSE : LSI_OUTCOME_FAILED,
        .has_state = context->has_state || what->is_final, /* Nobody would get that of the last one. */
        .state = {context->state, context->state_bytes},
    };

    if (answer == LS_HANDLER_STOP)
        outcome.kind = LSI_OUTCOME_STOPPED;
    if (answer == LS_HANDLER_LATER)
        outcome.kind = LSI_OUTCOME_SYSTEM;
    if (answer == LS_HANDLER_DONE && !context->is_bad)
        outcome.kind = context->has_failed_at ? LSI_OUTCOME_PARTIAL : LSI_OUTCOME_SUCCESS;
    if (context->has_failed_at) /* What is out of range stays so. */
        outcome.failed_at = context->failed_at < what->count ? (uint32_t)context->failed_at : what->count;
    return outcome;
}

uint32_t lsi_handler_attempts(const ls_handler_context *context)
{
    return context->what->attempts;
}

uint32_t lsi_handler_records(const ls_handler_context *context)
{
    return context->what->count;
}

bool lsi_handler_window(const ls_handler_context *context, ls_handler_window *out)
{
    const lsi_invocation *what = context->what;

    *out = (ls_handler_window){
        .size = (uint32_t)sizeof(*out),
        .is_final = what->is_final,
        .is_terminated_early = what->is_terminated_early,
        .start_us = what->window_start_us,
        .end_us = what->window_end_us,
        .state = what->state,
    };
    return what->is_windowed;
}

void lsi_handler_context_end(ls_handler_context *context)
{
    lsi_free(&context->env->memory, context->state);
    lsi_free(&context->env->memory, context->event);
}

/* ---- documents ---- */

ls_status lsi_handler_event_json(ls_handler_context *context, ls_bytes *out)
{
    ls_status st = LS_OK;

    if (context->event == NULL) {
        lsi_json_writer to;

        st = lsi_event_check_state(&context->env->memory, context->what);
        if (st != LS_OK)
            return st;
        lsi_json_begin(&to, &context->env->memory);
        lsi_event_write(&to, context->source, context->what);
        if (to.failed) {
            lsi_json_free(&to);
            return lsi_fail(LS_ERR_NO_MEMORY, "no memory for the event document of %" PRIu32 " records",
                            context->what->count);
        }
        context->event = to.text;
        context->event_bytes = to.size;
    }
    *out = (ls_bytes){context->event, context->event_bytes};
    return st;
}

bool lsi_handler_takes_answer(const ls_handler_context *context)
{
    return context->reports_failures || context->what->is_windowed;
}

ls_status lsi_handler_answer_json(ls_handler_context *context, ls_bytes document, ls_handler_answer *out)
{
    const lsi_memory *memory = &context->env->memory;
    uint32_t flags = (context->reports_failures ? LSI_RESPONSE_REPORTS : 0) |
                     (context->what->is_windowed ? LSI_RESPONSE_WINDOWED : 0);
    lsi_json_writer state;
    lsi_outcome outcome;
    ls_status st;

    lsi_json_begin(&state, memory);
    st = lsi_response_read(memory, document.data, document.size, flags, context->source, context->what, &state,
                           &outcome);
    if (st != LS_OK) {
        lsi_json_free(&state);
        return st;
    }
    /* The machine would find the missing state, too; but who asks is to hear of it. */
    context->is_bad = outcome.kind == LSI_OUTCOME_BAD_RESPONSE ||
                      (context->what->is_windowed && !context->what->is_final && !outcome.has_state);
    context->has_failed_at = outcome.kind == LSI_OUTCOME_PARTIAL && !context->is_bad;
    context->failed_at = outcome.failed_at;
    lsi_free(memory, context->state);
    context->state = NULL;
    context->state_bytes = 0;
    context->has_state = outcome.has_state && !context->is_bad;
    if (context->has_state) {
        context->state = state.text;
        context->state_bytes = state.size;
    } else {
        lsi_json_free(&state);
    }
    *out = context->is_bad ? LS_HANDLER_RETRY : LS_HANDLER_DONE;
    return LS_OK;
}
