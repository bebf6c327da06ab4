"""Bridges, veths, addresses, nftables and names."""
