# /// script
# requires-python = ">=3.10"
# dependencies = ["kestra", "requests"]
# ///
# Needs packages, which `uv run` installs: they are named above.
import os

import requests

from kestra import Kestra

response = requests.get(os.environ["URL"], timeout=30)
response.raise_for_status()
Kestra.outputs({"orders": len(response.json())})
