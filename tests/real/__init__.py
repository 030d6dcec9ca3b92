"""The released agent, as sites have it in the field, against the server of this tree over TLS.

`release` installs the released suite; `test_agent` runs its agent.
"""
