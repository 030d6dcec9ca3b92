"""Metadata: which clients there are, who speaks over a connection, and what each client is a member of.

.. code-block:: text

    Metadata (plugin.py)            what the core calls
      ClientsFile (clientsfile.py)  clients.xml, followed as it changes and written by the server
        ClientTable (clients.py)    what it says: one immutable snapshot
        EditableFile (editing.py)   one of its files, ready to be changed
          MarkedUpClients (markup.py)  its text
      ClientsDatabase (database.py) the clients in the database, in place of ClientsFile; both are a
                                    ClientStore (store.py)
      GroupsFile (groupsfile.py)    groups.xml, followed as it changes
        GroupTable (groups.py)      what it says: one immutable snapshot
          Memberships (closure.py)  how groups follow from other groups
      faults.py                     what is wrong in the two files, for the log
      draw (drawing.py)             the groups as a drawing, for bcfg2-admin viz
      ClientMetadata (client.py)    what plugins and templates see of one client
      MetadataQuery (query.py)      what they may ask about the others
        Roster (roster.py)          which groups each client is in
      Authenticator (identity.py)   whether credentials are good, and whose they are
        ReverseLookup (reverse.py)  names of addresses
"""

from bcfg2.server.plugins.metadata.client import ClientMetadata
from bcfg2.server.plugins.metadata.groups import MetadataGroup
from bcfg2.server.plugins.metadata.plugin import Metadata
from bcfg2.server.plugins.metadata.query import MetadataQuery

__all__ = ["ClientMetadata", "Metadata", "MetadataGroup", "MetadataQuery"]
