#!/usr/bin/env python3
"""Count the books of a stream and average their prices: the `process.py` of the books pipeline, written for boto3.

    LIBSTREAM_STORE=books.store books_process.py

Only the import is another one. What was wrong with the original is put right here: prices are under 'Price', and may be
texts such as "$1,599.00"; NaN is none; shards are listed page by page; a shard is read until its end, or until an
answer without records reaches the tip, so that the program ends; an iterator that has expired is got anew.
"""

import json
import math

import libstream.kinesis as boto3

stream_name = 'amazon-books'
kinesis_client = boto3.client('kinesis')


def price_of(book):
    price = book.get('Price')
    if isinstance(price, str):
        try:
            price = float(price.strip().lstrip('$').replace(',', ''))
        except ValueError:
            return None
    if isinstance(price, bool) or not isinstance(price, (int, float)) or not math.isfinite(price):
        return None
    return price


def records_of(shard_id):
    last, iterator = None, None
    while True:
        if iterator is None:
            start = {'ShardIteratorType': 'TRIM_HORIZON'}
            if last is not None:
                start = {'ShardIteratorType': 'AFTER_SEQUENCE_NUMBER', 'StartingSequenceNumber': last}
            iterator = kinesis_client.get_shard_iterator(StreamName=stream_name, ShardId=shard_id,
                                                         **start)['ShardIterator']
        try:
            response = kinesis_client.get_records(ShardIterator=iterator, Limit=1000)
        except kinesis_client.exceptions.ExpiredIteratorException:
            iterator = None
            continue
        for record in response['Records']:
            last = record['SequenceNumber']
            yield record
        iterator = response.get('NextShardIterator')
        if iterator is None or not response['Records'] and response['MillisBehindLatest'] == 0:
            return


total_books = 0
prices = []
for page in kinesis_client.get_paginator('describe_stream').paginate(StreamName=stream_name):
    for shard in page['StreamDescription']['Shards']:
        for record in records_of(shard['ShardId']):
            total_books += 1
            price = price_of(json.loads(record['Data'].decode('utf-8')))
            if price is not None:
                prices.append(price)

print(f"Total number of books: {total_books}")
print(f"Books with a price: {len(prices)}")
print(f"Total price of books: {math.fsum(prices):.2f}")
print(f"Average price of books: {math.fsum(prices) / len(prices):.4f}" if prices else "No book has a price")
