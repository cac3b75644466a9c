# Asks an API with a key from the environment.
import os

import requests

from kestra import Kestra

headers = {"Authorization": f"Bearer {os.environ['SHOP_API_KEY']}"}
response = requests.get(f"{os.environ['SHOP_URL']}/orders", headers=headers, timeout=30)
response.raise_for_status()
Kestra.outputs({"orders": len(response.json())})
