# Validates the flows of a folder, deploys them to a namespace for tests, and executes one there.
import sys

from kestra import Flow

folder = sys.argv[1]

with Flow() as flow:
    ns = flow.namespace("company.team.ci")

    found = ns.flows.validate(folder)
    print(*found, sep="\n")
    if not all(each.is_warning for each in found):
        sys.exit("the flows are not deployed")

    for change in ns.flows.deploy(folder, override_namespace=True, dry_run=True):
        print(change, change.diff, sep="\n")
    changes = ns.flows.deploy(folder, override_namespace=True)
    try:
        result = flow.execute(ns.name, "report", {"day": "2026-01-31"}, timeout=600)
        result.raise_for_status()
        print(result.status)
    finally:
        for change in reversed(changes):
            if change.action == "created":
                ns.flows.delete(change.name)
