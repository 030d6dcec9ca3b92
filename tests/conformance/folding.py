"""Makes two answers equal where correct servers may differ: attribute order, sibling order, scratch paths, ports."""

import json
import re
import xmlrpc.client
from typing import Any
from xml.etree import ElementTree

#: (what was really there, the word that a recording has in its place), in the order of their use.
Names = list[tuple[re.Pattern[str], str]]


def fold(value: Any, names: Names) -> Any:
    """VALUE as recordings have it: NAMES replaced in every string, XML documents as ``{"xml": lines}``."""
    match value:
        case xmlrpc.client.Binary():
            return fold(value.data.decode("utf-8", "replace"), names)
        case list() | tuple():
            return [fold(item, names) for item in value]
        case dict():
            return {key: fold(value[key], names) for key in sorted(value)}
        case str():
            return _fold_text(value, names)
    return value


def mask(answer: dict[str, Any], patterns: list[str]) -> dict[str, Any]:
    """ANSWER with each match of the regular expressions PATTERNS in its JSON text replaced by ``@MASK@``."""
    for pattern in patterns:
        answer = json.loads(re.sub(pattern, "@MASK@", json.dumps(answer)))
    return answer


def output_lines(text: str, *, sort: bool) -> list[str]:
    """The lines of a command's output that are not blank, runs of white space made one blank."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    lines = [line for line in lines if line]
    return sorted(lines) if sort else lines


def _fold_text(text: str, names: Names) -> Any:
    for real, word in names:
        text = real.sub(word, text)
    if not text.lstrip().startswith("<"):
        return text
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return text
    return {"xml": _lines(root, 0)}


def _lines(element: ElementTree.Element, depth: int) -> list[str]:
    """One line for ELEMENT, attributes sorted, then the lines of its children, sorted as groups."""
    children = sorted(_lines(child, depth + 1) for child in element if isinstance(child.tag, str))
    text = (element.text or "") + "".join(child.tail or "" for child in element)
    if children and not text.strip():
        text = ""
    line = "  " * depth + element.tag
    for name, value in sorted(element.attrib.items()):
        line += f" {name}={value!r}"
    if text:
        line += f" :: {text!r}"
    return [line, *(below for child in children for below in child)]
