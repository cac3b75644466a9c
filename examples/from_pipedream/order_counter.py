# Counts in the key-value store of its namespace, which outlives executions.
from kestra import Kestra, Namespace

with Namespace() as ns:
    orders = ns.kv.get("orders", 0) + 1
    ns.kv["orders"] = orders
Kestra.outputs({"orders": orders})
