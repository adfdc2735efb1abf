"""Pure nouns and rules: no input or output, no knowledge of any other room."""
