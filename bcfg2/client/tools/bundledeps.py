"""BundleDeps: a bundle that names another one depends on it, and is updated when that was."""

from bcfg2.client.tools.base import Context, State, Tool
from bcfg2.xml import Element


class BundleDeps(Tool):
    """References to other bundles, which are always good; they count as modified when the bundle was updated."""

    handles = (("Bundle", None),)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._references: dict[str | None, list[Element]] = {}
        for entry in self.entries:
            self._references.setdefault(entry.get("name"), []).append(entry)

    def expected_state(self, entry: Element) -> State:
        return {}

    def actual_state(self, entry: Element) -> State:
        return {}

    def bundle_updated(self, bundle: Element) -> dict[Element, bool]:
        self.modified += self._references.get(bundle.get("name"), [])
        return {}
