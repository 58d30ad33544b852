"""The rows of the KL's table: one derivation a file, for one kind of q under one prior."""
