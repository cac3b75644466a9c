"""What an engine keeps of the lines that a task prints: its rules, without any I/O.

`lines` splits and tells frames from text; `frame` reads one, with `jackson`, `meters` and `otlp`;
`reader` goes through the lines of a task and keeps what `messages` declares and `report` shows;
`rules` is where the engines differ.
"""
