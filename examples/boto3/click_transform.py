#!/usr/bin/env python3
"""Deliver click events to files, with a category in the place of what is not wanted: the function of the clicks
pipeline, as AWS Firehose calls it.

    LIBSTREAM_STORE=clicks.store click_transform.py DIRECTORY

`lambda_handler` is the original but for an item_id of infinity, which is Other, too, as all others that are no number.
Lines end by the delivery's delimiter, which the original has not. Run again it goes on where it was.
"""

import base64
import json
import logging
import os
import sys

from libstream import ExistsError, Store

logger = logging.getLogger()
logger.setLevel(logging.INFO)


def lambda_handler(event, context):
    output = []

    for record in event['records']:
        try:
            # decode the base64 data
            payload = base64.b64decode(record['data']).decode('utf-8')
            data = json.loads(payload)

            # extract the data
            item_id = data.get('item_id')
            user_id = data.get('user_id')
            price = data.get('price')

            # transform the data
            # determine the category based on the item_id
            category = 'Other'
            if item_id is not None:
                try:
                    item_id_int = int(item_id)
                    if 100 <= item_id_int < 250:
                        category = 'Clothing'
                    elif 250 <= item_id_int < 500:
                        category = 'Instruments'
                    elif 500 <= item_id_int < 750:
                        category = 'Electronics'
                    else:
                        category = 'Books'
                except (ValueError, TypeError, OverflowError):
                    logger.warning(f"Could not convert item_id '{item_id}' to an integer. Defaulting to 'Other'.")

            # create new data
            transformed_data = {
                'user_id': user_id,
                'item_id': item_id,
                'category': category,
                'price': price
            }

            encoded_data = base64.b64encode(json.dumps(transformed_data).encode('utf-8')).decode('utf-8')

            output.append({
                'recordId': record['recordId'],
                'result': 'Ok',
                'data': encoded_data
            })

        except Exception as e:
            logger.error(f"Error processing record: {e}")
            output.append({
                'recordId': record['recordId'],
                'result': 'ProcessingFailed',
                'data': record['data']
            })

    return {'records': output}


if __name__ == '__main__':
    with Store(os.environ['LIBSTREAM_STORE']) as store, store.stream('mi-ks-homework12') as stream:
        try:
            delivery = stream.create_delivery('firehose', directory=sys.argv[1], delimiter='\n', transform=True,
                                              prefix='clicks/', error_prefix='failed/')
        except ExistsError:
            delivery = stream.delivery('firehose')
        delivery.run(lambda_transform=lambda_handler, until_caught_up=True)
