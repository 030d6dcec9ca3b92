"""What the command bcfg2-crypt does: encrypting and decrypting files of the repository.

.. code-block:: text

    tool            the command: one file after the other, and what becomes of the results
      wholefiles    files of Cfg and SSHbase, encrypted as a whole
      documents     Properties and other XML files, of which elements are encrypted
      editing       an editor on a private copy in plain text
      upgrading     from the old form of encrypted data to the modern one
    keys            which passphrase is used
"""
