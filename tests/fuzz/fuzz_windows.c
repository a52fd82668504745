/* Snapshots of windows over event time: 1 byte of the kind, then the snapshot. Any bytes end in a status; what is
 * restored can be worked with, is no longer when it is saved again, and leaves nothing behind. */
#include "fuzz/fuzz.h"

#include "consume/window/window.h"

static void work(lsi_windows *windows)
{
    lsi_windows_result result;
    lsi_windows_place place;
    lsi_element_fate fate;
    double one = 1;

    for (size_t i = 0; lsi_windows_input_at(windows, i, &place); i++) {
        if (place.has_ended)
            continue;
        for (int64_t time = -20; time <= 20; time += 5)
            FUZZ_REQUIRE(lsi_windows_add(windows, place.input, (ls_bytes){"k", 1}, time, &one, &fate) == LS_OK);
        lsi_windows_advance(windows, place.input, (lsi_point){1, 0});
        while (lsi_windows_next(windows, &result))
            FUZZ_REQUIRE(result.start_ms < result.end_ms && result.count > 0);
    }
    lsi_windows_finish(windows);
    while (lsi_windows_next(windows, &result))
        FUZZ_REQUIRE(result.start_ms < result.end_ms && result.count > 0);
    FUZZ_REQUIRE(lsi_windows_state_bytes(windows) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lsi_windows_settings settings = {.size_ms = 20, .step_ms = 10, .gap_ms = 4, .delay_ms = 5, .lateness_ms = 15,
                                     .notes_changes = true, .state_bytes_max = 1 << 20, .fold = lsi_tally_fold};
    size_t snapshot_size = size == 0 ? 0 : size - 1;
    uint8_t *snapshot = fuzz_copy(size == 0 ? data : data + 1, snapshot_size);
    lsi_windows *windows;
    ls_status st;

    settings.kind = (lsi_windows_kind)(size == 0 ? 0 : data[0] % 4);
    FUZZ_REQUIRE(lsi_windows_open(&lsi_memory_libc, &settings, &windows) == LS_OK);
    st = lsi_windows_restore(windows, snapshot, snapshot_size);
    FUZZ_REQUIRE(st == LS_OK || st == LS_ERR_CORRUPT || st == LS_ERR_STATE || st == LS_ERR_TOO_LARGE);
    if (st == LS_OK) {
        lsi_windows_part all = {LSI_KEYS_ALL, true, SIZE_MAX, false, 0, 0, NULL};
        size_t again_size;
        void *again;

        FUZZ_REQUIRE(lsi_windows_save(windows, &all, &again, &again_size) == LS_OK && again_size <= snapshot_size);
        lsi_free(&lsi_memory_libc, again);
        work(windows);
    }
    lsi_windows_close(windows);
    free(snapshot);
    return 0;
}
