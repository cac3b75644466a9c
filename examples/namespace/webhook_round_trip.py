# Calls the webhook of a flow, waits for the end, and shows what has failed since yesterday.
import os
from datetime import timedelta

from kestra import Namespace

with Namespace("company.team") as ns:
    response = ns.webhook("orders", os.environ["ORDERS_KEY"], {"id": 7}, wait=60)
    response.raise_for_status()
    print(response.status, response.outputs)
    for execution in ns.executions("orders", state="FAILED", since=timedelta(days=1)):
        print(execution.id, execution.state.start, execution.url)
