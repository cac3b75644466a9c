"""What an engine keeps of the lines that a task prints: its rules, without any I/O.

`lines` splits and tells frames from text, `jackson` reads JSON as the engine does, `reader` goes
through the lines of a task and sends each part of a frame to `outputs`, `meters` or `otlp`;
`messages` is what comes out, which `report` shows; `rules` is where the engines differ.
"""
