# Reads what an earlier step of the execution sent, and how the execution was started.
from kestra import Kestra, context

order = context.outputs.fetch.vars.order
print(f"Order {order.id} for {context.inputs.customer}")
Kestra.outputs({"gross": round(order.total * 1.2, 2)})
