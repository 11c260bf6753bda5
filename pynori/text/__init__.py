"""Text cut into terms: tokenizers, filters, and the analyzers made of them."""
