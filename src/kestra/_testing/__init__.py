"""What `kestra.testing` is made of, and the pytest plugin.

`capture` looks at what this process prints, through a `tee`; `script` runs another; `task_context`
provides an execution context; `fake` is a server in this process.
"""
