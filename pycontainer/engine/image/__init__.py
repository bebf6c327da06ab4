"""What each verb about images does: from a name to an image on disk, and from there to files and registries."""

# from a name to the disk   obtain, sources, pull, mirrors, fetch, blob, daemon; at the same time: team, turns, pipeline
# to a registry             push, convert, login, search, manifests, manifest_list
# from and to files         archives, import_
# made here                 commit, history
# unmade                    remove
