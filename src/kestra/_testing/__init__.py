"""What `kestra.testing` is made of, and the pytest plugin.

`capture` collects what this process prints; `script` runs another; `task_context` provides an
execution context; `fake` is a server in this process.
"""
