/* Milliseconds are rounded down, before 1970 too. */
#include "deliver/failed.h"

static int64_t ms_of(int64_t us)
{
    return us / 1000 - (us % 1000 < 0);
}

void lsi_failed_write(lsi_json_writer *to, const lsi_failed *failed)
{
    to->wants_comma = false; /* Lines stand behind each other without. */
    lsi_json_object_open(to);
    lsi_json_key(to, "attemptsMade");
    lsi_json_uint(to, failed->attempts_made);
    lsi_json_key(to, "arrivalTimestamp");
    lsi_json_int(to, ms_of(failed->arrival_us));
    lsi_json_key(to, "errorCode");
    lsi_json_string(to, failed->code);
    lsi_json_key(to, "errorMessage");
    lsi_json_string(to, failed->message);
    lsi_json_key(to, "attemptEndingTimestamp");
    lsi_json_int(to, ms_of(failed->ended_us));
    lsi_json_key(to, "rawData");
    lsi_json_base64(to, failed->raw.data, failed->raw.size);
    if (failed->lambda_arn != NULL) {
        lsi_json_key(to, "lambdaArn");
        lsi_json_string(to, failed->lambda_arn);
    }
    lsi_json_object_close(to);
    to->wants_comma = false;
    lsi_json_raw(to, "\n", 1);
    to->wants_comma = false;
}
