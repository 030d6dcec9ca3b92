"""Bcfg2: a configuration-management server and agent."""
