"""What clients of web actions are told (spec: rest-api.md §11)."""

CONTENT_TYPE_UNSUPPORTED = "Content type is not supported."
CONTENT_TYPE_UNKNOWN = "Response did not specify a known content-type."
CONTENT_TYPE_MISMATCH = "Response type in header did not match generated content type."
PROPERTY_MISSING = "Response does not include requested property."
NOT_YET_READY = "Response not yet ready."
PROCESSING_FAILED = "There was an error processing your request."


def not_valid(kind: str) -> str:
    return f"Response is not valid '{kind}'."


def not_acceptable(content_type: str) -> str:
    return f"Resource representation is only available with these types:\n{content_type}"
