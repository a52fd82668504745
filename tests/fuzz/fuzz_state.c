/* Values of a stream's state that mappings, groups and alerts read: 1 byte of FUZZ_STATE_ (fuzz.h), then the value. Any
 * bytes end in a status; what is accepted is written again as it was. */
#include "fuzz/fuzz.h"

#include "consume/alert/alert.h"
#include "consume/lease/lease.h"
#include "consume/mapping/mapping.h"

/* An engine of one value, which it takes back, too. */
typedef struct one_value {
    lsi_engine engine;
    lsi_engine_stream stream;
    ls_bytes value;
    uint8_t *written;
    size_t written_size;
} one_value;

static one_value *of_stream(lsi_engine_stream *stream)
{
    return (one_value *)(void *)((char *)stream - offsetof(one_value, stream));
}

/* Under each name that is asked for; of a prefix, of shard 3. */
static ls_status read_it(lsi_engine_stream *stream, ls_bytes prefix,
                         bool (*each)(void *user, const lsi_state_entry *entry), void *user)
{
    char key[64];
    bool is_prefix = prefix.size > 0 && ((const char *)prefix.data)[prefix.size - 1] == '/';
    int size = snprintf(key, sizeof key, "%.*s%s", (int)prefix.size, (const char *)prefix.data,
                        is_prefix ? "0000000003" : "");
    lsi_state_entry entry = {{key, (size_t)size}, 7, of_stream(stream)->value};

    (void)each(user, &entry);
    return LS_OK;
}

static ls_status write_it(lsi_engine_stream *stream, lsi_state_change *changes, uint32_t count, uint32_t *conflict)
{
    one_value *of = of_stream(stream);

    free(of->written); /* The last one counts: settings come behind rows. */
    of->written = fuzz_copy(changes[count - 1].value.data, changes[count - 1].value.size);
    of->written_size = changes[count - 1].value.size;
    *conflict = count;
    return LS_OK;
}

static void require_same(const void *bytes, size_t size, ls_bytes value)
{
    FUZZ_REQUIRE(size == value.size && memcmp(bytes, value.data, size) == 0);
}

static ls_status read_mapping(one_value *of)
{
    lsi_mapping *mapping;
    ls_bytes again;
    ls_status st = lsi_mapping_load(&of->stream, "m", &mapping);

    if (st != LS_OK)
        return st;
    FUZZ_REQUIRE(lsi_mapping_encode(&lsi_memory_libc, mapping, &again) == LS_OK);
    require_same(again.data, again.size, of->value);
    free((void *)(uintptr_t)again.data);
    lsi_mapping_free(mapping);
    return LS_OK;
}

static ls_status read_lease(one_value *of)
{
    lsi_group_settings settings = {0};
    lsi_lease_row *rows;
    uint32_t count;
    bool is_done;
    ls_status st = lsi_lease_rows(&of->stream, "m", &rows, &count);

    if (st != LS_OK)
        return st;
    FUZZ_REQUIRE(count == 1 && rows[0].place.shard == 3 && rows[0].version == 7);
    FUZZ_REQUIRE(lsi_lease_write(&of->stream, "m", &settings, rows, 1, (lsi_lease_beside){NULL, 0}, &is_done) ==
                 LS_OK && is_done);
    require_same(of->written, of->written_size, of->value);
    lsi_free(&lsi_memory_libc, rows);
    return LS_OK;
}

static ls_status read_group(one_value *of)
{
    lsi_group_settings settings;
    bool is_done;
    ls_status st = lsi_group_find(&of->stream, "m", &settings);

    if (st != LS_OK)
        return st;
    settings.is_changed = true;
    FUZZ_REQUIRE(settings.version == 7);
    FUZZ_REQUIRE(lsi_lease_write(&of->stream, "m", &settings, NULL, 0, (lsi_lease_beside){NULL, 0}, &is_done) ==
                 LS_OK && is_done);
    require_same(of->written, of->written_size, of->value);
    return LS_OK;
}

static ls_status read_window(one_value *of)
{
    char key[LSI_WINDOW_KEY_BYTES];
    lsi_progress progress = {0};
    lsi_state_change change;
    void *bytes;
    ls_status st = lsi_window_load(&of->stream, "m", 3, &progress, &bytes);

    if (st == LS_OK) {
        FUZZ_REQUIRE(progress.has_window);
        FUZZ_REQUIRE(lsi_window_change(&lsi_memory_libc, "m", 3, &progress, key, &change) == LS_OK);
        require_same(change.value.data, change.value.size, of->value);
        free((void *)(uintptr_t)change.value.data);
    }
    free(bytes);
    return st;
}

static ls_status read_alert(one_value *of)
{
    lsi_alert_rule *rule;
    ls_bytes again;
    ls_status st = lsi_alert_load(&of->stream, "m", &rule);

    if (st != LS_OK)
        return st;
    FUZZ_REQUIRE(lsi_alert_rule_encode(&lsi_memory_libc, rule, &again) == LS_OK);
    require_same(again.data, again.size, of->value);
    free((void *)(uintptr_t)again.data);
    lsi_alert_rule_free(rule);
    return LS_OK;
}

static ls_status read_alerted(one_value *of)
{
    lsi_alert_state state = {.memory = lsi_memory_libc};
    lsi_state_entry entry = {.version = 7, .value = of->value};
    ls_bytes again;
    ls_status st = lsi_alert_state_decode(&state, &entry);

    if (st == LS_OK) {
        FUZZ_REQUIRE(lsi_alert_state_encode(&lsi_memory_libc, &state, &again) == LS_OK);
        require_same(again.data, again.size, of->value);
        free((void *)(uintptr_t)again.data);
    }
    lsi_alert_state_clear(&state);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const lsi_engine_ops ops = {.state_read = read_it, .state_write = write_it};
    static ls_status (*const readers[])(one_value *of) = {read_mapping, read_lease, read_group,
                                                             read_window, read_alert, read_alerted};
    one_value *of = calloc(1, sizeof *of);
    uint8_t *value;
    ls_status st;

    FUZZ_REQUIRE(of != NULL);
    if (size == 0) {
        free(of);
        return 0;
    }
    value = fuzz_copy(data + 1, size - 1);
    of->engine.ops = &ops;
    lsi_env_default(&of->engine.env);
    of->stream.engine = &of->engine;
    of->value = (ls_bytes){value, size - 1};
    st = readers[data[0] % 6](of); /* FUZZ_STATE_ */
    FUZZ_REQUIRE(st == LS_OK || st == LS_ERR_CORRUPT || st == LS_ERR_VERSION);
    free(of->written);
    free(value);
    free(of);
    return 0;
}
