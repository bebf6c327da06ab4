"""What each verb about images does: from a name to an image on disk, and from there to files and registries."""
