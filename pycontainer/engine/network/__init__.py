"""What each verb about networks does, and what a container takes of its networks when it starts."""
