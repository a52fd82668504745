#!/usr/bin/env python3
"""Signatures are those of botocore (package python3-botocore), on random requests to S3.

    signatures.py SIGN_RANDOM [SEED]        exit 77, which is "skipped", where there is no botocore
"""

import json
import random
import subprocess
import sys

try:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
except ImportError:
    print("there is no botocore")
    sys.exit(77)

COUNT = 500


def signed(method, path, query, region, time, headers):
    """What botocore signs such a request with. Its own steps, as its add_auth would take the time from a clock."""
    auth = S3SigV4Auth(Credentials("AKID", "secret/+"), "s3", region)
    url = "http://bucket.example:9000" + path + ("?" + query if query else "")
    request = AWSRequest(method=method, url=url, headers=dict(headers))
    request.context["timestamp"] = time
    to_sign = auth.string_to_sign(request, auth.canonical_request(request))
    names = auth.signed_headers(auth.headers_to_sign(request))
    return "AWS4-HMAC-SHA256 Credential=%s, SignedHeaders=%s, Signature=%s" % (
        auth.scope(request), names, auth.signature(to_sign, request))


def main():
    seed = sys.argv[2] if len(sys.argv) > 2 else str(random.randrange(1 << 32))
    lines = subprocess.run([sys.argv[1], seed, str(COUNT)], check=True, capture_output=True, text=True).stdout
    differing = 0
    for line in lines.splitlines():
        method, path, query, region, time, authorization, headers = json.loads(line)
        wanted = signed(method, path, query, region, time, headers)
        if authorization != wanted:
            differing += 1
            print("%s\n  is      %s\n  botocore %s" % (line, authorization, wanted))
    print("seed %s: %d requests, %d signed otherwise" % (seed, len(lines.splitlines()), differing))
    return differing != 0 or len(lines.splitlines()) != COUNT


if __name__ == "__main__":
    sys.exit(main())
