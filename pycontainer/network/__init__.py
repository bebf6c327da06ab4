"""Bridges, veths, addresses, nftables and names."""

# a network       design (what a new one will be), store, addresses, names, resolver
# its devices     bridge, child (macvlan, ipvlan), links, host; netlink is the language
# packets         ruleset, nftables
# a container     connection: what it has of all these
