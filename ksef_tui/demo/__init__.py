"""An office at work in the sandbox, for an exercise."""
