# Sends outputs, which later tasks of the flow read: outputs.yaml is that flow.
from datetime import date

from kestra import Kestra

Kestra.outputs({"day": date(2026, 1, 31), "regions": ["north", "south"]})
Kestra.outputs({"stats": {"rows": 5, "mean": 91.548}})  # joins what was sent before
