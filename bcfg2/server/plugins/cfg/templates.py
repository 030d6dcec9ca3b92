"""What the template engines have in common: variables, compiling at first use, errors.

.. code-block:: text

    CfgTemplateGenerator     a template file, derived for each engine
        | engine of the plugin, one for all files
    TemplateEngine           compiles and renders
        |
    Includes                 the files that templates include

Compiling thousands of templates takes longer than reading them, so a template is compiled when it is first rendered.
One that changes while the server runs is compiled at once: who edits it sees the mistake in the log.
"""

from typing import Any, ClassVar, Protocol

from bcfg2.server.plugin import PluginExecutionError, Specificity, TemplateDataProvider
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.plugin.structfile import add_variables, entry_name
from bcfg2.server.plugins.cfg.handlers import CfgGenerator
from bcfg2.xml import Element


class TemplateEngine(Protocol):
    """A template library as Cfg uses it.  All errors become PluginExecutionErrors that tell kind, text and line."""

    #: Whether the variable `path` is the template's path; else it is the entry's name.
    path_is_source: bool

    def __init__(self, core: CoreInterface) -> None: ...

    def compile(self, path: str, text: str) -> Any:
        """The template TEXT, which was read from PATH, ready to be rendered by any number of threads."""

    def render(self, template: Any, variables: dict[str, Any]) -> str:
        """What TEMPLATE yields with VARIABLES."""


def described(err: BaseException, text: str) -> str:
    """The kind of ERR and TEXT, what it says."""
    return f"{type(err).__name__}: {text}" if text else type(err).__name__


class CfgTemplateGenerator(CfgGenerator):
    """A file that is rendered for each request.  A subclass names its engine."""

    engine: ClassVar[type[TemplateEngine]]

    def __init__(self, name: str, specific: Specificity) -> None:
        super().__init__(name, specific)
        self._template: Any = None
        self._broken: str | None = None

    def handle_event(self, event: Any = None) -> None:
        super().handle_event(event)
        if event is not None and event.code2str() != "exists":
            self.prepare()

    def prepare(self) -> None:
        """Compile the template; a broken one is an error line."""
        try:
            self._compiled(self.cfg.engines[self.engine])
        except PluginExecutionError as err:
            self.cfg.logger.error("%s", err)

    def source(self) -> str:
        """The text of the template."""
        return self.raw.decode(self.encoding)

    def get_data(self, entry: Element, metadata: Any) -> str:
        core = self.cfg.core
        engine = self.cfg.engines[self.engine]
        template = self._compiled(engine)
        try:
            with self.cfg.slow_templates.rendering(self.name, metadata.hostname, core.options.cfg_slow_template):
                return engine.render(template, self._variables(engine, entry, metadata))
        except PluginExecutionError as err:
            raise PluginExecutionError(f"Cfg: Error rendering {self.name}: {err}") from err

    def _compiled(self, engine: TemplateEngine) -> Any:
        """The template, compiled.  A broken one is not tried again: a change makes a new object."""
        if self._template is None and self._broken is None:
            try:
                self._template = engine.compile(self.name, self.source())
            except PluginExecutionError as err:
                self._broken = f"Cfg: Error rendering {self.name}: {err}"
            except Exception as err:  # noqa: BLE001 - libraries raise what they like for nonsense
                self._broken = f"Cfg: Error rendering {self.name}: {described(err, str(err))}"
        if self._broken is not None:
            raise PluginExecutionError(self._broken)
        return self._template

    def _variables(self, engine: TemplateEngine, entry: Element, metadata: Any) -> dict[str, Any]:
        """The variables of the template: built-in ones, and those of TemplateDataProvider plugins."""
        core = self.cfg.core
        name = entry_name(entry)
        variables = {
            "metadata": metadata,
            "name": name,
            "source_path": self.name,
            "path": self.name if engine.path_is_source else name,
            "repo": core.options.server_repository,
        }
        for plugin in core.plugins_by_type(TemplateDataProvider):
            add_variables(variables, plugin.get_template_data(entry, metadata, self.name), plugin.name, self.name)
        return variables
