"""Recorded conversations with the original suite, replayed against the commands of this tree.

======================  ==========================================================================
`cases/NAME/`           `case.json` (the steps), `bcfg2.conf` and `repo/`, `expected.json` (the answers)
`expected_failures.toml`  the cases that wait for a later issue
`folding`               makes answers comparable where correct servers may differ
`process`               the commands under test, free ports, certificates, one running server
`conversation`          plays the steps of one case
`test_cases`            one test per case
======================  ==========================================================================
"""
