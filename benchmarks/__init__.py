"""Speed and weight against the published package, side by side: `python -m benchmarks`."""
