"""The plugins that come with the server, one module (or package) each."""
