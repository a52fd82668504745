#!/usr/bin/env python3
"""Put made-up click events into a stream, one a second: the `data_streaming.py` of the clicks pipeline, for boto3.

    LIBSTREAM_STORE=clicks.store click_producer.py [EVENTS [SECONDS_BETWEEN]]      without end, 1

Only the import is another one, and ids come from the standard library instead of faker. Put right: the key is the
session's, so that a session's events keep their order, where each event had a user, and so a key, of its own.
"""

import json
import random
import sys
import time
import uuid
from datetime import datetime, timezone

import libstream.kinesis as boto3

region = 'us-east-1'
stream_name = 'mi-ks-homework12'
clientkinesis = boto3.client('kinesis', region_name=region)
actions = ['login', 'view_item', 'add_to_cart', 'checkout']
session = {'user_id': str(uuid.uuid4()), 'session_id': str(uuid.uuid4())}


def generate_event():
    action = random.choices(actions, weights=[0.2, 0.3, 0.4, 0.1])[0]
    if action == 'login':
        session.update(user_id=str(uuid.uuid4()), session_id=str(uuid.uuid4()))
    return {
        'timestamp': datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M:%S'),
        **session,
        'action': action,
        'item_id': random.randint(100, 999) if action != 'login' else None,
        'price': round(random.uniform(10, 100), 2) if action != 'login' else None
    }


def stream_data(events, pause):
    while events != 0:
        event = generate_event()
        clientkinesis.put_record(StreamName=stream_name, Data=json.dumps(event), PartitionKey=event['session_id'])
        print(f"Sent event: {event['action']} by {event['user_id']} at {event['timestamp']}", flush=True)
        events -= 1
        if events != 0:
            time.sleep(pause)


if __name__ == '__main__':
    try:
        clientkinesis.create_stream(StreamName=stream_name)
    except clientkinesis.exceptions.ResourceInUseException:
        pass  # It is there.
    try:
        stream_data(int(sys.argv[1]) if len(sys.argv) > 1 else -1, float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)
    except KeyboardInterrupt:
        pass
