# Sends what has changed in a folder to the files of a namespace, and keeps the time of it there.
import sys
from datetime import datetime, timezone

from kestra import Namespace

with Namespace("company.team") as ns:
    changes = ns.files.sync(sys.argv[1], to="etl", delete=True, on_change=print)
    now = datetime.now(timezone.utc).replace(microsecond=0)
    ns.kv.set("last_sync", now, description="written by nightly_sync.py")
    print(f"{len(changes)} changes")
