"""Keeps pytest out of the recorded cases, which hold Python files of their own."""

collect_ignore = ["cases"]
