# Executes a flow with a file, for an input of type FILE.
# A path will do, and so will an open file, bytes, or a tuple (filename, file, content type).
from datetime import date
from pathlib import Path

from kestra import Flow

orders = Path("orders.csv")
result = Flow().execute("company.team", "report", {"day": date(2026, 1, 31), "orders": orders})
print(result.status)
