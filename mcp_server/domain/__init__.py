"""Pure rules: models, events, errors. No I/O, no clock, no randomness; they are passed in."""
