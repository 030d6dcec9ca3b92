"""Keys and certificates, made with the package cryptography, without which no module here can be imported.

======================  ==========================================================
`sshkeys`               key pairs in OpenSSH's format
`tlskeys`               private keys in PEM
`opensslconf`           OpenSSL's configuration files
`extensions`            sections of these that describe the extensions of certificates
`names`                 the names of certificates' subjects
`database`              which certificates an authority has issued, and the next serial number
`authority`             an authority, as the command ``openssl ca`` would use it
`chain`                 whether a certificate is good
======================  ==========================================================
"""
