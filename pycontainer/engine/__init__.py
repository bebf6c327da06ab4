"""What each verb does, in order, one page per verb."""
