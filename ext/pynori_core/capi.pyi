"""Types of the C face: the capsule alone."""

C_API: object
