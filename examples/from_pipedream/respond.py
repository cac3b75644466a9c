# Reads the HTTP request that has started the execution: body, headers, and query parameters.
from kestra import Kestra, context

request = context.trigger
print("Asked by", request.headers["User-Agent"][0])  # each header, and each parameter, is a list
total = sum(line["price"] * line["count"] for line in request.body.lines)
Kestra.outputs({"customer": request.parameters.customer[0], "total": total})
