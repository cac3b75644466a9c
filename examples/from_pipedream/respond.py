# Reads the HTTP request that has started the execution: headers, body and query parameters.
from kestra import Kestra, context

request = context.trigger
print("Asked by", request.headers["User-Agent"][0])  # each header is a list of its values
total = sum(line["price"] * line["count"] for line in request.body.lines)
currency = request.parameters.get("currency", ["EUR"])[0]  # so is each query parameter
Kestra.outputs({"total": total, "currency": currency})
