# Uses what the image has: the package itself, and PyYAML.
import yaml

from kestra import Kestra

settings = yaml.safe_load("{regions: [north, south]}")
Kestra.outputs({"regions": settings["regions"]})
