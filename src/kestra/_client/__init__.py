"""The faces of the client: `connection` holds their attributes, `flow` is the one that blocks."""
