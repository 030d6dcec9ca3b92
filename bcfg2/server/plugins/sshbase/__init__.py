"""SSHbase: SSH host keys that are kept, handed out and made, and the list of those of all hosts.

.. code-block:: text

    SSHbase (plugin)            ssh_host_rsa_key, ssh_host_rsa_key.pub ..., ssh_known_hosts
      KeySet (keyfiles)         the files of one of these, for hosts, for groups, for all
      HostKeys (hostkeys)       pairs for those who have none
      KnownHosts (knownhosts)   the list
        Resolver (resolver)     what the DNS knows of hosts, asked in the background
"""

from bcfg2.server.plugins.sshbase.plugin import SSHbase

__all__ = ["SSHbase"]
