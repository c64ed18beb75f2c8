"""What OpenAPI has no words for; loaded by schemathesis (schemathesis.toml)."""

import schemathesis


# The answer to a heartbeat goes without a Content-Type: 32 bytes less for each heartbeat of each device. With the one
# that is meant, its body is held against the schema.
@schemathesis.hook
def after_call(context, case, response):
    if response.status_code == 200 and case.path in ("/api/v1/heartbeat", "/heartbeat.php"):
        response.headers.setdefault("content-type", ["application/json"])
