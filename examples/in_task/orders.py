# A whole task script: it times its work, logs, counts, and sends outputs.
# Without a server: python -m kestra run examples/in_task/orders.py
import csv
from decimal import Decimal
from pathlib import Path

from kestra import Kestra

logger = Kestra.logger()

with Kestra.timer("read"), Path(__file__).with_name("orders.csv").open(newline="") as file:
    orders = list(csv.DictReader(file))
print(f"{len(orders)} orders read")  # an ordinary line is a log entry too

paid = [order for order in orders if order["amount"]]
for order in orders:
    if not order["amount"]:
        logger.warning("order %s has no amount: left out", order["id"])

for order in paid:
    Kestra.counter("orders", 1, {"region": order["region"]})  # they add up, region by region

revenue = sum(Decimal(order["amount"]) for order in paid)
logger.info("revenue is %s", revenue)
Kestra.outputs({"orders": len(paid), "revenue": revenue})
