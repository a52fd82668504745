#!/usr/bin/env python3
"""Put the books of a JSON file into a stream, one by one: the `main.py` of the books pipeline, written for boto3.

    LIBSTREAM_STORE=books.store books_main.py [amazon_books200.json]

Only the import is another one. What was wrong with the original is put right here: a file whose list is wrapped into
another one is taken as it is meant; a title that is missing or no text gets a key, one that is longer than a key may be
or has half of a character is told; a price that is NaN is null, since NaN is no JSON.
"""

import json
import math
import sys
import time

import libstream.kinesis as boto3

stream_name = 'amazon-books'
kinesis_client = boto3.client('kinesis')

with open(sys.argv[1] if len(sys.argv) > 1 else 'amazon_books200.json', 'r', encoding='utf-8') as file:
    data = json.load(file)
while len(data) == 1 and isinstance(data[0], list):
    data = data[0]

try:
    kinesis_client.create_stream(StreamName=stream_name, ShardCount=1, StreamModeDetails={'StreamMode': 'PROVISIONED'})
except kinesis_client.exceptions.ResourceInUseException:
    pass  # It is there.
kinesis_client.get_waiter('stream_exists').wait(StreamName=stream_name)

start_time = time.time()
put = refused = 0
for record in data:
    record = {key: None if isinstance(value, float) and not math.isfinite(value) else value
              for key, value in record.items()}
    title = record.get('Title')
    try:
        response = kinesis_client.put_record(
            StreamName=stream_name,
            Data=json.dumps(record, allow_nan=False),
            PartitionKey=title if isinstance(title, str) and title else 'default_partition_key'
        )
        put += 1
        print(response['ShardId'], response['SequenceNumber'])
    except (kinesis_client.exceptions.ValidationException, boto3.ParamValidationError) as error:
        refused += 1
        print(error, file=sys.stderr)

print(f"Records put: {put}, refused: {refused}")
print(f"Total time taken: {time.time() - start_time} seconds")
