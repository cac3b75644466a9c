# Executes a flow with inputs, waits until it has ended, and shows its state and log.
from datetime import date

from kestra import Flow

flow = Flow()
result = flow.execute(
    "company.team",
    "report",
    {"day": date(2026, 1, 31), "draft": True, "regions": ["north", "south"]},
)
print(result.status)
print(result.log)
