# Starts an execution, and shows its states and its log as they come about.
from datetime import date

from kestra import Flow, LogEntry

flow = Flow(wait_for_completion=False)
started = flow.execute("company.team", "report", {"day": date(2026, 1, 31)})
for event in flow.follow(started.execution_id, min_level="INFO"):
    if isinstance(event, LogEntry):
        print(event)
    else:
        print(f"--- {event} ---")
