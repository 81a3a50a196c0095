"""What PySpark's own descriptors say about our field numbers, and what its decoder makes of messages.

Reads {"fields": {method: [[number, ...], ...]}, "messages": [hex, ...]} and prints
{"methods": [...], "fields": {method: [name or null, ...]}, "messages": [{...} or null, ...]}; a message is an
ExecutePlanRequest, null where it cannot be decoded.
"""

import json
import sys

from google.protobuf.message import DecodeError
from pyspark.sql.connect.proto import base_pb2

service = base_pb2.DESCRIPTOR.services_by_name["SparkConnectService"]


def name_of(descriptor, numbers):
    """The dotted names of a path of field numbers with the last one's type, or None where one is not there."""
    names = []
    field = None
    for number in numbers:
        field = descriptor.fields_by_number.get(number) if descriptor else None
        if field is None:
            return None
        names.append(field.name)
        descriptor = field.message_type
    return ".".join(names) + ": " + (field.message_type.name if field.message_type else kinds[field.type])


kinds = {8: "bool", 9: "string", 12: "bytes", 14: "enum"}


def decoded(text):
    message = base_pb2.ExecutePlanRequest()
    try:
        message.ParseFromString(bytes.fromhex(text))
    except DecodeError:
        return None
    context = message.user_context
    return {
        "session_id": message.session_id,
        "operation_id": message.operation_id,
        "user_id": context.user_id,
        "user_name": context.user_name,
        "extensions": [extension.type_url for extension in context.extensions],
        "tags": list(message.tags),
    }


question = json.load(sys.stdin)
print(
    json.dumps(
        {
            "methods": [method.name for method in service.methods],
            "fields": {
                name: [
                    name_of(service.methods_by_name[name].input_type, path) if name in service.methods_by_name else None
                    for path in paths
                ]
                for name, paths in question["fields"].items()
            },
            "messages": [decoded(text) for text in question["messages"]],
        }
    )
)
