# Calls the webhook of a flow, waits for the end, and shows what has failed since yesterday.
import os
from datetime import timedelta

from kestra import Namespace

with Namespace("company.team") as ns:
    answer = ns.webhook("orders", os.environ["ORDERS_KEY"], {"id": 7}, wait=60)
    answer.raise_for_status()
    print(answer.status, answer.outputs)
    for execution in ns.executions("orders", state="FAILED", since=timedelta(days=1)):
        print(execution.id, execution.state.start, execution.url)
