/* lstream apply: makes a store what a file says (apply.h), or takes down what it declares. */
#include "cli/apply.h"

#include <stdlib.h>
#include <string.h>

enum { SET, DELETE, DRY_RUN };
static const lsi_option options[] = {
    [SET] = {"set", LSI_OPTION_TEXTS, "NAME=VALUE", "A parameter's value instead of its Default; may come several "
             "times.", 0, 0, 0},
    [DELETE] = {"delete", LSI_OPTION_FLAG, NULL, "Delete what the file declares, in reverse order; what is not there "
                "is fine.", 0, 0, 0},
    [DRY_RUN] = {"dry-run", LSI_OPTION_FLAG, NULL, "Check all of it, and say what would be done.", 0, 0, 0},
    {NULL, LSI_OPTION_FLAG, NULL, NULL, 0, 0, 0},
};

static const lsi_apply_kind *const kinds[] = {&lsi_apply_streams, &lsi_apply_mappings, &lsi_apply_deliveries,
                                             &lsi_apply_alerts, NULL};
#define KINDS 4

/* ---- what the template declares ---- */

typedef struct sections {
    const lsi_node *parameters, *lists[KINDS];
    const char *description, *version;
} sections;

static const lsi_take section_takes[] = {
    {"AWSTemplateFormatVersion", LSI_TAKE_TEXT, offsetof(sections, version), false, 0, 0, NULL},
    {"Description", LSI_TAKE_TEXT, offsetof(sections, description), false, 0, 0, NULL},
    {"Parameters", LSI_TAKE_OBJECT, offsetof(sections, parameters), false, 0, 0, NULL},
    {"Streams", LSI_TAKE_LIST, offsetof(sections, lists[0]), false, 0, 0, NULL},
    {"Mappings", LSI_TAKE_LIST, offsetof(sections, lists[1]), false, 0, 0, NULL},
    {"Deliveries", LSI_TAKE_LIST, offsetof(sections, lists[2]), false, 0, 0, NULL},
    {"Alerts", LSI_TAKE_LIST, offsetof(sections, lists[3]), false, 0, 0, NULL},
    {NULL, LSI_TAKE_TEXT, 0, false, 0, 0, NULL},
};

static bool is_same_name(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Begins with it anew. */
static int read_thing(lsi_apply *apply, lsi_thing *thing)
{
    const lsi_apply_kind *kind = thing->kind;
    int code;

    if (kind->end != NULL)
        kind->end(thing);
    memset(thing->wanted, 0, kind->wanted_bytes);
    code = kind->begin(apply, thing);
    return code == LSI_EXIT_OK ? kind->fill(apply, thing) : code;
}

/* Reads one, and adds it behind `*end`. */
static int add_thing(lsi_apply *apply, const lsi_apply_kind *kind, const lsi_node *node, lsi_thing ***end)
{
    lsi_thing *thing = calloc(1, sizeof *thing);
    int code;

    if (thing == NULL || (thing->wanted = calloc(1, kind->wanted_bytes)) == NULL) {
        free(thing);
        lsi_say(apply->call, "out of memory");
        return LSI_EXIT_FAILED;
    }
    thing->kind = kind;
    thing->node = node;
    **end = thing;
    *end = &thing->next;
    code = read_thing(apply, thing);
    for (const lsi_thing *other = apply->things; code == LSI_EXIT_OK && other != thing; other = other->next)
        if (other->kind == kind && is_same_name(other->stream, thing->stream) && is_same_name(other->name, thing->name))
            code = lsi_template_refuse(&apply->template, node, "the %s '%s' was declared at line %u", kind->noun,
                                       thing->name != NULL ? thing->name : thing->stream,
                                       (unsigned)other->node->line);
    return code;
}

static int read_things(lsi_apply *apply)
{
    sections found = {.description = NULL};
    lsi_thing **end = &apply->things;
    int code = lsi_take_fields(&apply->template, apply->template.root, section_takes, &found);

    for (int i = 0; kinds[i] != NULL; i++)
        for (const lsi_node *node = found.lists[i] != NULL ? found.lists[i]->first : NULL;
             node != NULL && code == LSI_EXIT_OK; node = node->next)
            code = add_thing(apply, kinds[i], node, &end);
    return code;
}

/* ---- the stores ---- */

/* `to_write` false: for reading only, and `*out` is NULL when there is none. Returns an exit code. */
static int open_store(const lsi_call *call, bool to_write, ls_store **out)
{
    ls_store_options how = LS_STORE_OPTIONS_INIT;
    ls_status st;

    *out = NULL;
    how.flags = (to_write ? 0 : LS_STORE_READ_ONLY) | (call->network_fs ? LS_STORE_NETWORK_FS_ALLOWED : 0);
    if (call->key_file != NULL) {
        how.key_callback = ls_key_from_file;
        how.key_user = (void *)(uintptr_t)call->key_file; /* only read */
    }
    st = ls_store_open(call->store, &how, out);
    return st == LS_OK || (st == LS_ERR_NOT_FOUND && !to_write) ? LSI_EXIT_OK : lsi_failed(call, st);
}

static int close_store(const lsi_call *call, ls_store **store, int code)
{
    ls_store *old = *store;

    *store = NULL;
    return lsi_close_stream(call, NULL, old, code);
}

/* ---- comparing ---- */

/* Finds the thing in the store; `*stream` is its stream, NULL: there is none. Returns an exit code. */
static int find(lsi_apply *apply, lsi_thing *thing, ls_stream **stream)
{
    bool is_there = false;
    ls_status st = apply->store != NULL ? ls_stream_open(apply->store, thing->stream, stream) : LS_ERR_NOT_FOUND;

    thing->state = LSI_THING_NEW;
    if (st == LS_OK)
        st = thing->kind->look(thing, *stream, &is_there);
    if (st == LS_ERR_NOT_FOUND) /* Half of it may have been looked at when it was deleted. */
        return read_thing(apply, thing);
    if (st == LS_ERR_INVALID_ARGUMENT) /* of a name */
        return lsi_template_refuse(&apply->template, thing->node, "%s", ls_last_error_message());
    if (st != LS_OK)
        return lsi_failed(apply->call, st);
    thing->state = is_there ? LSI_THING_CHANGED : LSI_THING_NEW;
    return LSI_EXIT_OK;
}

static int compare_once(lsi_apply *apply, lsi_thing *thing)
{
    ls_stream *stream = NULL;
    int code = read_thing(apply, thing);

    apply->is_outdated = false;
    if (code == LSI_EXIT_OK)
        code = find(apply, thing, &stream);
    if (code == LSI_EXIT_OK)
        code = thing->kind->fill(apply, thing); /* over what is there */
    if (code == LSI_EXIT_OK && !apply->call->values[DELETE].given)
        code = thing->kind->compare(apply, thing, stream);
    if (code == LSI_EXIT_OK && apply->call->values[DELETE].given && thing->state != LSI_THING_NEW &&
        thing->kind->check_removal != NULL)
        code = thing->kind->check_removal(apply, thing, stream);
    (void)ls_stream_close(stream); /* Nothing was opened of it. */
    return code;
}

static int compare_one(lsi_apply *apply, lsi_thing *thing)
{
    int code;

    do
        code = compare_once(apply, thing);
    while (code == LSI_EXIT_OK && apply->is_outdated);
    return code;
}

static int compare_all(lsi_apply *apply)
{
    int code = LSI_EXIT_OK;

    for (lsi_thing *thing = apply->things; thing != NULL && code == LSI_EXIT_OK; thing = thing->next)
        code = compare_one(apply, thing);
    return code;
}

/* ---- the trial ---- */

int lsi_apply_need_stream(lsi_apply *apply, const lsi_node *node, const char *name)
{
    ls_stream_options like = LS_STREAM_OPTIONS_INIT;
    ls_stream_description *description = NULL;
    ls_stream *stream = NULL;
    ls_status st = ls_stream_open(apply->trial, name, &stream);

    (void)ls_stream_close(stream);
    if (st == LS_OK)
        return LSI_EXIT_OK;
    stream = NULL;
    st = apply->store != NULL ? ls_stream_open(apply->store, name, &stream) : LS_ERR_NOT_FOUND;
    if (st == LS_OK)
        st = ls_stream_describe(stream, &description);
    if (st == LS_ERR_NOT_FOUND || st == LS_ERR_INVALID_ARGUMENT)
        return lsi_template_refuse(&apply->template, node, "there is no stream '%s', neither here nor in the store",
                                   name);
    if (st == LS_OK) {
        like.record_bytes_max = ls_stream_description_record_bytes_max(description);
        st = ls_stream_create(apply->trial, name, &like);
    }
    ls_stream_description_free(description);
    (void)ls_stream_close(stream);
    return st == LS_OK ? LSI_EXIT_OK : lsi_failed(apply->call, st);
}

int lsi_apply_need_name(lsi_apply *apply, lsi_thing *thing, ls_stream *stream)
{
    ls_lease_list *leases;

    if (thing->state != LSI_THING_NEW || stream == NULL ||
        ls_stream_list_leases(stream, thing->name, &leases) != LS_OK)
        return LSI_EXIT_OK;
    ls_lease_list_free(leases);
    if (thing->kind->look(thing, stream, &apply->is_outdated) == LS_OK && apply->is_outdated)
        return LSI_EXIT_OK;
    return lsi_template_refuse(&apply->template, thing->node, "stream '%s' has another group '%s'", thing->stream,
                               thing->name);
}

static int try_one(lsi_apply *apply, const lsi_thing *thing)
{
    bool is_stream = thing->name == NULL;
    ls_stream *stream = NULL;
    int code = is_stream ? LSI_EXIT_OK : lsi_apply_need_stream(apply, thing->node, thing->stream);
    ls_status st = LS_OK;

    if (code == LSI_EXIT_OK && !is_stream)
        st = ls_stream_open(apply->trial, thing->stream, &stream);
    if (code == LSI_EXIT_OK && st == LS_OK && thing->kind->prepare != NULL)
        code = thing->kind->prepare(apply, thing, stream);
    if (code == LSI_EXIT_OK && st == LS_OK)
        st = thing->kind->make(thing, apply->trial, stream);
    if (code == LSI_EXIT_OK && st == LS_ERR_NO_MEMORY)
        code = lsi_failed(apply->call, st);
    else if (code == LSI_EXIT_OK && st != LS_OK)
        code = lsi_template_refuse(&apply->template, thing->node, "%s", ls_last_error_message());
    (void)ls_stream_close(stream);
    return code;
}

static int try_all(lsi_apply *apply)
{
    ls_store_options how = LS_STORE_OPTIONS_INIT;
    int code = LSI_EXIT_OK;
    ls_status st;

    if (apply->call->key_file != NULL) {
        how.key_callback = ls_key_from_file;
        how.key_user = (void *)(uintptr_t)apply->call->key_file; /* only read */
    }
    st = ls_store_open("memory:", &how, &apply->trial);
    if (st != LS_OK)
        return lsi_failed(apply->call, st);
    for (const lsi_thing *thing = apply->things; thing != NULL && code == LSI_EXIT_OK; thing = thing->next)
        code = try_one(apply, thing);
    return close_store(apply->call, &apply->trial, code);
}

/* ---- doing ---- */

typedef struct telling {
    lsi_apply *apply;
    lsi_json_writer json; /* with --json */
} telling;

static void tell(telling *of, const lsi_thing *thing, const char *word)
{
    if (!of->apply->call->json) {
        lsi_out_text("%-9s %-8s %s%s%s\n", word, thing->kind->noun, thing->stream, thing->name != NULL ? " " : "",
                     thing->name != NULL ? thing->name : "");
        lsi_out_flush();
        return;
    }
    lsi_json_object_open(&of->json);
    lsi_member_string(&of->json, "kind", thing->kind->noun);
    lsi_member_string(&of->json, "stream", thing->stream);
    if (thing->name != NULL)
        lsi_member_string(&of->json, "name", thing->name);
    lsi_member_string(&of->json, "result", word);
    lsi_json_object_close(&of->json);
}

/* What a killed process had written last is seen only by who may finish that: so all is compared again. */
static int open_to_write(lsi_apply *apply)
{
    int code = close_store(apply->call, &apply->store, LSI_EXIT_OK);

    if (code == LSI_EXIT_OK)
        code = open_store(apply->call, true, &apply->store);
    return code == LSI_EXIT_OK ? compare_all(apply) : code;
}

static ls_status do_in_store(const lsi_apply *apply, const lsi_thing *thing)
{
    bool needs_stream = thing->name != NULL || thing->state == LSI_THING_CHANGED;
    ls_stream *stream = NULL;
    ls_status st = needs_stream ? ls_stream_open(apply->store, thing->stream, &stream) : LS_OK;

    if (st == LS_OK)
        st = (thing->state == LSI_THING_NEW ? thing->kind->make : thing->kind->change)(thing, apply->store, stream);
    (void)ls_stream_close(stream);
    return st;
}

/* Returns an exit code; `*st`: what the store says, of which nothing is said. */
static int do_once(lsi_apply *apply, const lsi_thing *thing, ls_status *st)
{
    int (*beside)(lsi_apply *, const lsi_thing *) = thing->kind->make_beside;
    int code = LSI_EXIT_OK;

    *st = LS_OK;
    if (beside != NULL && thing->state == LSI_THING_CHANGED)
        code = beside(apply, thing);
    if (code == LSI_EXIT_OK)
        *st = do_in_store(apply, thing);
    return code == LSI_EXIT_OK && *st == LS_OK && beside != NULL && thing->state == LSI_THING_NEW
               ? beside(apply, thing) : code;
}

/* As do_once. What another process has made in between is changed, if it is not as it is said. */
static int do_one(lsi_apply *apply, lsi_thing *thing, ls_status *st)
{
    int code = do_once(apply, thing, st);

    if (code == LSI_EXIT_OK && *st == LS_ERR_EXISTS && thing->state == LSI_THING_NEW) {
        code = compare_one(apply, thing);
        *st = LS_OK;
        if (code == LSI_EXIT_OK && thing->state != LSI_THING_SAME)
            code = do_once(apply, thing, st);
    }
    return code;
}

/* Another process has deleted it, or its stream; and perhaps made it again. */
static bool is_outrun(const lsi_thing *thing, ls_status st)
{
    return st == LS_ERR_NOT_FOUND || (st == LS_ERR_EXISTS && thing->state == LSI_THING_NEW);
}

static int failed_to_do(const lsi_apply *apply, const lsi_thing *thing, ls_status st)
{
    if (!is_outrun(thing, st))
        return lsi_failed(apply->call, st);
    lsi_say(apply->call, "%s: another process changes it at the same time", ls_last_error_message());
    return lsi_exit_code(st);
}

static int do_all(telling *of)
{
    static const char *const words[] = {"created", "updated", "unchanged"};
    lsi_apply *apply = of->apply;
    bool is_dry = apply->call->values[DRY_RUN].given, has_changes = false;
    int code = LSI_EXIT_OK, tries = 1;
    lsi_thing *thing;

    for (thing = apply->things; thing != NULL; thing = thing->next)
        has_changes = has_changes || thing->state != LSI_THING_SAME;
    if (!is_dry && has_changes) /* Who changes nothing never writes. */
        code = open_to_write(apply);
    for (thing = apply->things; thing != NULL && code == LSI_EXIT_OK;) {
        ls_status st = LS_OK;

        if (!is_dry && thing->state != LSI_THING_SAME)
            code = do_one(apply, thing, &st);
        if (code == LSI_EXIT_OK && is_outrun(thing, st) && tries++ < LSI_APPLY_TRIES) {
            code = compare_all(apply); /* What is gone is made anew. */
            thing = apply->things;
            continue;
        }
        if (code == LSI_EXIT_OK && st != LS_OK)
            code = failed_to_do(apply, thing, st);
        if (code == LSI_EXIT_OK && (!thing->is_told || thing->state != LSI_THING_SAME))
            tell(of, thing, words[thing->state]);
        thing->is_told = true;
        thing = thing->next;
    }
    return code;
}

/* ---- taking down ---- */

static lsi_thing *reversed(lsi_thing *things)
{
    lsi_thing *made = NULL;

    while (things != NULL) {
        lsi_thing *next = things->next;

        things->next = made;
        made = things;
        things = next;
    }
    return made;
}

static ls_status remove_one(const lsi_apply *apply, const lsi_thing *thing)
{
    ls_stream *stream = NULL;
    ls_status st = ls_stream_open(apply->store, thing->stream, &stream);

    if (st == LS_OK)
        st = thing->kind->remove(thing, apply->store, stream);
    (void)ls_stream_close(stream);
    return st;
}

static int remove_all(telling *of)
{
    lsi_apply *apply = of->apply;
    bool is_dry = apply->call->values[DRY_RUN].given;
    int code = is_dry || apply->store == NULL ? LSI_EXIT_OK : open_to_write(apply);

    apply->things = reversed(apply->things);
    for (const lsi_thing *thing = apply->things; thing != NULL && code == LSI_EXIT_OK; thing = thing->next) {
        bool is_there = thing->state != LSI_THING_NEW;
        ls_status st = LS_OK;

        if (!is_dry && thing->kind->remove_beside != NULL)
            code = thing->kind->remove_beside(apply, thing);
        if (code == LSI_EXIT_OK && !is_dry && is_there)
            st = remove_one(apply, thing);
        if (st != LS_OK && st != LS_ERR_NOT_FOUND) /* Somebody else was faster. */
            code = lsi_failed(apply->call, st);
        if (code == LSI_EXIT_OK)
            tell(of, thing, is_there && st == LS_OK ? "deleted" : "absent");
    }
    return code;
}

/* ---- the command ---- */

static int show(lsi_apply *apply)
{
    telling of = {.apply = apply};
    bool is_dry = apply->call->values[DRY_RUN].given;
    int code;

    if (apply->call->json) {
        lsi_json_begin(&of.json, &lsi_memory_libc);
        lsi_json_object_open(&of.json);
        lsi_member_bool(&of.json, "dry_run", is_dry);
        lsi_json_key(&of.json, "applied");
        lsi_json_array_open(&of.json);
    }
    code = apply->call->values[DELETE].given ? remove_all(&of) : do_all(&of);
    if (!apply->call->json)
        return code;
    lsi_json_array_close(&of.json);
    lsi_json_object_close(&of.json);
    return lsi_out_json(apply->call, &of.json, code); /* also what was done before something failed */
}

static int run(lsi_call *call)
{
    const lsi_value *set = &call->values[SET];
    lsi_apply apply = {.call = call};
    int code = lsi_template_load(call, call->arguments[0], set->texts, set->text_count, &apply.template);

    if (code == LSI_EXIT_OK)
        code = read_things(&apply);
    if (code == LSI_EXIT_OK)
        code = open_store(call, false, &apply.store);
    if (code == LSI_EXIT_OK)
        code = compare_all(&apply);
    if (code == LSI_EXIT_OK && !call->values[DELETE].given)
        code = try_all(&apply);
    if (code == LSI_EXIT_OK)
        code = show(&apply);
    while (apply.things != NULL) {
        lsi_thing *thing = apply.things;

        apply.things = thing->next;
        if (thing->kind->end != NULL)
            thing->kind->end(thing);
        free(thing->wanted);
        free(thing);
    }
    code = close_store(call, &apply.store, code);
    lsi_template_free(&apply.template);
    return code;
}

const lsi_command lsi_command_apply = {
    .name = "apply",
    .summary = "Make a store what a file says",
    .arguments = "FILE",
    .help = "FILE (-: standard input) is a JSON object that declares streams, mappings,\n"
            "deliveries and alerts; what is not there is created, with the store if need\n"
            "be, what differs is updated, and the rest is left alone. Applied twice it\n"
            "changes nothing.\n"
            "What the file does not say of a thing that is there stays as it is.\n"
            "\n"
            "  {\"Parameters\": {\"Name\": {\"Type\": \"String\", \"Default\": \"clicks\"}},\n"
            "   \"Streams\":  [{\"StreamName\": {\"Ref\": \"Name\"}, \"ShardCount\": 2}],\n"
            "   \"Mappings\": [{\"StreamName\": ..., \"FunctionName\": ...,\n"
            "                 \"StartingPosition\": \"TRIM_HORIZON\", \"BatchSize\": 10}],\n"
            "   \"Deliveries\": [{\"StreamName\": ..., \"DeliveryStreamName\": ...,\n"
            "                 \"StartingPosition\": \"LATEST\", \"Directory\": \"/data/out\"}],\n"
            "   \"Alerts\":   [{\"StreamName\": ..., \"AlarmName\": ..., \"Field\": \"price\",\n"
            "                 \"ComparisonOperator\": \"GreaterThanThreshold\",\n"
            "                 \"Threshold\": 100}]}\n"
            "\n"
            "Fields have the names that CloudFormation has for Kinesis streams, Lambda's\n"
            "event source mappings, Firehose's delivery streams and CloudWatch's alarms.\n"
            "All of it is checked before anything is changed: what is wrong is told with\n"
            "its line and field (exit code 2). So is whether schemas can be written where\n"
            "they are to lie, and with --delete whether a stream has consumers that the\n"
            "file does not name (exit code 6). What shows only when it is done, as that a\n"
            "disk is full or a directory was moved meanwhile, ends a run in the middle: the\n"
            "lines say what was done, and the next run does the rest, as after one that was\n"
            "killed. What another process deletes meanwhile is made again.\n"
            "\n"
            "A line for each: created, updated or unchanged, another one when it was made\n"
            "again; with --delete deleted or absent. With --json {\"dry_run\", \"applied\":\n"
            "[{\"kind\", \"stream\", \"name\" (but of streams), \"result\"}]}.\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .needs_store = true,
    .options = options,
    .run = run,
};
