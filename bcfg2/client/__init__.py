"""The agent: one run that makes this machine what the server says it should be.

.. code-block:: text

    run  ->  lock -> probes -> configuration -> decisions
         ->  inventory (states) -> installing: important, prerequisites, install, bundles, removal -> report
                    |                  |
                    +---- tools: verify, install, extra, remove, one module per tool

`run` has the stages in the order in which they happen, `options` what can be set, `configuration` the document,
`states` which entry is good, bad, modified or extra, `installing` the changes, `interactive` the questions, `report`
the statistics and `console` what a person sees.  A tool (`tools.base`) knows one kind of entry.
"""
