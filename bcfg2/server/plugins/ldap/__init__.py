"""Ldap: results of LDAP queries as data for templates; the queries are a Python module of the site.

.. code-block:: text

    Ldap/config.py                  __queries__ = ["Admins"]; class Admins(LdapQuery): connection = LdapConnection(...)
      Ldap (plugin.py)              metadata.Ldap: name of the query -> its result
        QueryModule                 the module, imported whenever it changes
        Results (results.py)        what is kept of the results, and for how long
      LdapQuery (query.py)          what the site's classes inherit: what to ask for, and what to do with the answer
      LdapConnection (connection.py)  where to ask: handles of python-ldap, and what is done when the server is down

A query runs when a template asks for its result, in the thread of that request.  No lock is held meanwhile, and each
thread has a handle of its own, so a server that is slow or dead costs the clients that need it and nobody else.
"""

from bcfg2.server.plugins.ldap.connection import LdapConnection
from bcfg2.server.plugins.ldap.plugin import Ldap
from bcfg2.server.plugins.ldap.query import LdapQuery

__all__ = ["Ldap", "LdapConnection", "LdapQuery"]
