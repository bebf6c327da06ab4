"""What each verb does, in order, one page per verb. This is also the Python API."""
