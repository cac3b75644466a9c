# Starts an execution and does not wait for its end.
from datetime import date

from kestra import Flow

flow = Flow(wait_for_completion=False)
result = flow.execute("company.team", "report", {"day": date(2026, 1, 31)})
print(result.execution_id, result.status)
