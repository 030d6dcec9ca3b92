"""How fast this server is, compared with the released one under the same load.  ``python -m benchmarks`` runs it.

.. code-block:: text

    repository   writes the same site for both servers
    contenders   starts one server or the other over its own copy of the site
    player       plays many clients against it, checks every answer and takes the times
    comparison   compares the content of some configurations between the two
"""
