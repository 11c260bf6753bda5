"""Scripts: JavaScript of patches, indexes and projections, run by quickjs-ng within limits."""
