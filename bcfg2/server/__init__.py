"""The server: core, network, plugins."""
