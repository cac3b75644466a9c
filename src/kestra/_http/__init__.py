"""Requests over the network: what blocks for `Flow`, and what awaits for `AsyncFlow`."""
