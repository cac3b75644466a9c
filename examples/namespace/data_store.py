# A task script that goes on where its last run ended: the namespace of its flow keeps the date.
# The task has `executionContext: true`, and credentials in its environment.
from datetime import date, timedelta

from kestra import Kestra, Namespace

with Namespace() as ns:
    day = ns.kv.get("next_day", date(2026, 1, 1))
    rates = ns.files.read("rates.csv").decode().splitlines()  # what another flow has written
    ns.files.write(f"reports/{day}.txt", f"{len(rates)} rates\n")
    ns.kv.set("next_day", day + timedelta(days=1), description="written by report")

Kestra.outputs({"day": day, "rates": len(rates)})
