#!/usr/bin/env python3
"""Print what comes: the consumer function of the file pipeline, as AWS Lambda calls it for a stream.

    LIBSTREAM_STORE=files.store file_consumer.py NAME

`lambda_handler` is the original. Each NAME is a consumer of its own, which sees every record; run again it goes on
where it was.
"""

import base64
import json
import os
import sys

from libstream import Store


def lambda_handler(event, context):
    record = event['Records']
    for rec in record:
        data_record = rec['kinesis']['data']
        data = base64.b64decode(data_record)
        print(data)
    return {
        'statusCode': 200,
        'body': json.dumps('Hello from Lambda!')
    }


if __name__ == '__main__':
    with Store(os.environ['LIBSTREAM_STORE']) as store, store.stream('sanjeeb-test-kinesis-stream') as stream:
        stream.on_batch(sys.argv[1], lambda_event=True)(lambda_handler).run(until_caught_up=True)
