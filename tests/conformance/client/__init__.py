"""Recorded cases of the agent: ``apply`` plays them (its head says how), ``cases/`` has them, ``own/`` further ones."""
