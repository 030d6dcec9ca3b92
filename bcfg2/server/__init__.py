"""The server: core, network, plugins.

`XMLParser` is a parser that expands no entities and opens no files, for plugins that call lxml themselves;
`XI_NAMESPACE` is the namespace of XInclude, in braces.
"""

from bcfg2.xml import XI_NAMESPACE, parser

__all__ = ["XI_NAMESPACE", "XMLParser"]

XMLParser = parser()
