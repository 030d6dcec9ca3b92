"""bcfg2-crypt."""
