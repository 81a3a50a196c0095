"""Prints the published descriptors of the names given on standard input, as JSON.

Input: {"modules": ["envoy.service.auth.v3.external_auth_pb2", ...], "messages": [...], "enums": [...], "services": [...]}
Output: {"messages": {name: {field: {number, type, label, oneof}}}, "enums": {name: {value: number}},
"services": {name: {method: {input, output, clientStreaming, serverStreaming}}}}; a name that is not published is null.
"""

import importlib
import json
import sys

from google.protobuf import descriptor_pb2, descriptor_pool

SCALARS = {number: name[5:].lower() for name, number in descriptor_pb2.FieldDescriptorProto.Type.items()}


def type_of(field):
    if field.message_type is not None:
        return field.message_type.full_name
    if field.enum_type is not None:
        return field.enum_type.full_name
    return SCALARS[field.type]


def field_of(field):
    # The attribute of older releases is deprecated in newer ones.
    repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
    entry = field.message_type if field.message_type is not None and field.message_type.GetOptions().map_entry else None
    return {
        "number": field.number,
        "type": type_of(field) if entry is None else type_of(entry.fields_by_name["value"]),
        "label": ("map of " + type_of(entry.fields_by_name["key"])) if entry else "repeated" if repeated else "single",
        "oneof": field.containing_oneof.name if field.containing_oneof is not None else None,
    }


def method_of(method):
    proto = descriptor_pb2.MethodDescriptorProto()
    method.CopyToProto(proto)
    return {
        "input": method.input_type.full_name,
        "output": method.output_type.full_name,
        "clientStreaming": proto.client_streaming,
        "serverStreaming": proto.server_streaming,
    }


def look_up(find, name, describe):
    try:
        return describe(find(name))
    except KeyError:
        return None


wanted = json.load(sys.stdin)
for module in wanted["modules"]:
    importlib.import_module(module)
pool = descriptor_pool.Default()
json.dump(
    {
        "messages": {
            name: look_up(pool.FindMessageTypeByName, name, lambda m: {f.name: field_of(f) for f in m.fields})
            for name in wanted["messages"]
        },
        "enums": {
            name: look_up(pool.FindEnumTypeByName, name, lambda e: {v.name: v.number for v in e.values})
            for name in wanted["enums"]
        },
        "services": {
            name: look_up(pool.FindServiceByName, name, lambda s: {m.name: method_of(m) for m in s.methods})
            for name in wanted["services"]
        },
    },
    sys.stdout,
)
