"""What an answer of the server must look like by the server's own document. Knows as much of JSON Schema as the document
uses; a word it does not know is an error, so that nothing is taken for checked that was not."""

import base64
import json

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
KNOWN = {"type", "properties", "additionalProperties", "required", "allOf", "oneOf", "enum", "items", "minimum", "maximum",
         "minItems", "maxItems", "minLength", "maxLength", "format", "contentEncoding", "description", "$ref", "x-events"}


class Document:
    def __init__(self, text):
        self.root = json.loads(text)
        assert self.root["openapi"] == "3.1.0", self.root["openapi"]

    def operation(self, method, path):
        return self.root["paths"][path][method.lower()]

    def operations(self):
        return [(method.upper(), path) for path, methods in self.root["paths"].items() for method in methods]

    def codes(self, method, path, status):
        """The stable codes that the document names for a status."""
        return self.operation(method, path)["responses"][str(status)]["description"].split(", ")

    def check_answer(self, method, path, status, content_type, body):
        """Empty, or what is wrong."""
        responses = self.operation(method, path)["responses"]
        if str(status) not in responses:
            return f"status {status} is not in the document"
        content = responses[str(status)]["content"]
        if content_type not in content:
            return f"{content_type} is not in the document"
        value = json.loads(body)
        wrong = self.check(content[content_type]["schema"], value)
        if not wrong and status != 200 and value["code"] not in self.codes(method, path, status):
            return f"code {value['code']} is not in the document for {status}"
        if not wrong and status != 200 and value["status"] != status:
            return f"says status {value['status']}"
        return wrong

    def event_schema(self, path, event):
        content = self.operation("GET", path)["responses"]["200"]["content"]["text/event-stream"]
        return content["schema"]["x-events"][event]

    def check(self, schema, value, place=""):
        unknown = set(schema) - KNOWN
        assert not unknown, f"teach this the words {unknown}"
        if "$ref" in schema:
            target = self.root
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            return self.check(target, value, place)
        kind = schema.get("type")
        if kind and (not isinstance(value, TYPES[kind]) or (kind == "integer" and isinstance(value, bool))):
            return f"{place}: {value!r} is no {kind}"
        for one in schema.get("allOf", []):
            wrong = self.check(one, value, place)
            if wrong:
                return wrong
        if "oneOf" in schema and sum(not self.check(one, value, place) for one in schema["oneOf"]) != 1:
            return f"{place}: none or several of {schema['oneOf']}"
        return self.check_parts(schema, value, place)

    def check_parts(self, schema, value, place):
        if "enum" in schema and value not in schema["enum"]:
            return f"{place}: {value!r} is none of {schema['enum']}"
        if "minimum" in schema and value < schema["minimum"] or "maximum" in schema and value > schema["maximum"]:
            return f"{place}: {value} is out of range"
        if schema.get("contentEncoding") == "base64":
            base64.b64decode(value, validate=True)
        for name in schema.get("required", []):
            if name not in value:
                return f"{place}: no {name}"
        properties = schema.get("properties", {})
        if isinstance(value, dict):
            for name, member in value.items():
                if name not in properties:
                    if schema.get("additionalProperties") is False:
                        return f"{place}: {name} is not in the document"
                    continue
                wrong = self.check(properties[name], member, f"{place}/{name}")
                if wrong:
                    return wrong
        if isinstance(value, list):
            for i, element in enumerate(value):
                wrong = self.check(schema.get("items", {}), element, f"{place}/{i}")
                if wrong:
                    return wrong
        return ""
