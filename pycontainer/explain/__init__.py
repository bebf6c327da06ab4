"""The narrator: a plan and its results as text, JSON lines, or one step at a time."""
