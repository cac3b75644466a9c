# Executes a flow for each day of a month, five at a time, and shows each result as it comes.
from datetime import date, timedelta

from kestra import ExecutionRequest, Flow

first = date(2026, 1, 1)
days = [first + timedelta(days=number) for number in range(31)]
requests = (ExecutionRequest("company.team", "report", {"day": day}) for day in days)

with Flow() as flow:
    for outcome in flow.execute_all(requests, max_concurrent=5):
        day = (outcome.request.inputs or {})["day"]
        print(day, outcome.result.status if outcome.result else outcome.error)
