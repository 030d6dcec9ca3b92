"""What the sources show to people is true: example site, demonstration, configuration file and documentation."""
