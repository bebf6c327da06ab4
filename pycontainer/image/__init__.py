"""A name becomes verified layers on disk: reference, registry, manifest, store, layer."""

# what it is called        reference, shortnames, registries_conf, platform, digest
# what describes it        manifest, model, entry (a line of index.json)
# a registry               registry, push, transport, brief (small requests), failures, tls
#   logins                 credentials, auth, authorization
# a layer                  layer, tar, tarfields, sparse, compression, extract (for cp)
#   made here              changes, pack, tree, tarwriter, derive
# on disk                  store, places, staging (not whole yet), disk (full), removal, garbage
#   after a power cut      unsynced, after_reboot, mend, rebuild
# in files                 archive, oci_archive, docker_archive, flat_directory
# what is told meanwhile   events
