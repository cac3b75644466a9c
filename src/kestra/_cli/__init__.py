"""The commands of `python -m kestra`."""
