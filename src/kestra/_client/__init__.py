"""What users call: `flow` is `Flow`, and `connection` its settings and its connections."""
