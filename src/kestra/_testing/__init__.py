"""What `kestra.testing` is made of, and the pytest plugin."""
