# Sets user and password on the object; the password comes from the keyboard, not from the code.
from datetime import date
from getpass import getpass

from kestra import Flow

flow = Flow()
flow.user = "jane@example.com"
flow.password = getpass("Password: ")
result = flow.execute("company.team", "report", {"day": date(2026, 1, 31)})
print(result.status)
