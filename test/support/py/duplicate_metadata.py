"""Calls with metadata that Node's HTTP/2 refuses to send: the same single-valued header more than once.

Reads {"target", "ca", "calls": [[[name, value], ...], ...]} from GATEHOUSE_CALLS and prints one JSON line for each call:
{"step": "<index>", "result": {"code", "details", "decision_id"}}.
"""

import json
import os

import grpc

wanted = json.loads(os.environ["GATEHOUSE_CALLS"])
with open(wanted["ca"], "rb") as file:
    credentials = grpc.ssl_channel_credentials(file.read())
with grpc.secure_channel(wanted["target"], credentials) as channel:
    call = channel.unary_unary("/spark.connect.SparkConnectService/Config")
    for index, metadata in enumerate(wanted["calls"]):
        try:
            call(b"", metadata=[tuple(pair) for pair in metadata], timeout=60)
            result = {"code": 0, "details": "", "decision_id": None}
        except grpc.RpcError as error:
            sent = dict([*(error.initial_metadata() or []), *(error.trailing_metadata() or [])])
            result = {
                "code": error.code().value[0],
                "details": error.details(),
                "decision_id": sent.get("x-gatehouse-decision-id"),
            }
        print(json.dumps({"step": str(index), "result": result}), flush=True)
