#!/usr/bin/env python3
"""Put a file that was dropped into a stream: the producer function of the file pipeline, as AWS Lambda calls it for S3.

    LIBSTREAM_STORE=files.store file_producer.py DIRECTORY FILE...

There is no bucket: `Directory` answers to the one call of S3's client, for files in a directory. Put right: every
record of the event is looked at, not the first one alone; names come encoded in it, and are decoded; the bytes are put as
they are, whether they are UTF-8 or not; what is too large for a record is told by its name.
"""

import json
import os
import sys
import urllib.parse

import libstream.kinesis as boto3

stream_name = 'sanjeeb-test-kinesis-stream'


class Directory:
    """Buckets are directories, and objects the files in them."""

    def get_object(self, Bucket, Key):
        return {'Body': open(os.path.join(Bucket, Key), 'rb')}


def lambda_handler(event, context):
    client = Directory()  # instead of boto3.client('s3')
    K_client = boto3.client('kinesis')
    for record in event['Records']:
        bucket = record['s3']['bucket']['name']
        file_key_name = urllib.parse.unquote_plus(record['s3']['object']['key'])
        with client.get_object(Bucket=bucket, Key=file_key_name)['Body'] as body:
            data = body.read()
        try:
            response = K_client.put_record(StreamName=stream_name, Data=data, PartitionKey='123')
            print(file_key_name, response['ShardId'], response['SequenceNumber'])
        except K_client.exceptions.ValidationException as error:
            print(file_key_name, error.response['Error']['Message'], file=sys.stderr)
    K_client.close()
    return {
        'statusCode': 200,
        'body': json.dumps('Hello from Lambda!')
    }


if __name__ == '__main__':
    with boto3.client('kinesis') as client:
        try:
            client.create_stream(StreamName=stream_name, ShardCount=1)
        except client.exceptions.ResourceInUseException:
            pass  # It is there.
    bucket, keys = {'name': sys.argv[1]}, [urllib.parse.quote_plus(n) for n in sys.argv[2:] if n.endswith('.txt')]
    lambda_handler({'Records': [{'s3': {'bucket': bucket, 'object': {'key': key}}} for key in keys]}, None)
