# Executes a flow whose inputs become labels of the execution too, to find it by them.
from datetime import date

from kestra import Flow

flow = Flow(labels_from_inputs=True)
result = flow.execute("company.team", "report", {"day": date(2026, 1, 31), "draft": False})
print(result.status)
