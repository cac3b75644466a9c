"""Write to a folder 50,000 rows of each kind: as text, and as 2.0 does it, each row in binary."""

import sys
from pathlib import Path

from amazon.ion import simpleion

COUNT = 50_000
KINDS = {
    "plain": '{{id:{0},name:"customer {0}",amount:{0}.25,ratio:0.5e0,active:true,note:null}}\n',
    "ISO text": '{{id:{0},name:"customer {0}",amount:{0}.25,at:"2024-04-21T13:43:24.345Z"}}\n',
    "timestamps": '{{id:{0},name:"customer {0}",amount:{0}.25,at:2024-04-21T13:43:24.345Z}}\n',
    "annotated": '{{id:{0},name:"customer {0}",at:LocalDateTime::"2024-04-21T13:43:24.34"}}\n',
}

folder = Path(sys.argv[1])
for kind, row in KINDS.items():
    text = "".join(map(row.format, range(COUNT)))
    (folder / f"{kind}, text.ion").write_text(text)
    rows = simpleion.loads(text, single_value=False)
    (folder / f"{kind}, binary.ion").write_bytes(b"".join(map(simpleion.dumps, rows)))
