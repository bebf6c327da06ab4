"""The C core and its bindings: the performer, and the vocabulary of calls it performs."""
