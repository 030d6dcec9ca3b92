"""Random files of a repository: good ones of every kind, and ones that a server must not take.

All draw from few names, so that what one file says matters to another.  An include is written ``@PATH`` with a path
relative to the repository, wildcards allowed; see :meth:`Content.placed`.
"""

import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

HOSTS = ("c1", "c2", "c3")
GROUPS = ("g1", "g2", "g3", "p1", "p2")
BUNDLES = ("b1", "b2", "b3", "b4", "part-1", "part-2")
PATHS = ("/etc/f1", "/etc/f2", "/etc/sub/f3", "/etc/r1", "/etc/r2")
PACKAGES = ("k1", "k2", "k3:x86,arm", "k3")
SERVICES = ("s1", "s2", "s3")

XI = 'xmlns:xi="http://www.w3.org/2001/XInclude"'
PY = 'xmlns:py="http://genshi.edgewall.org/"'

_INCLUDE = re.compile(r'href="@([^"]*)"')


class Kind(Enum):
    """What counts of a file that cannot be used, or is gone.

    FOLDER: what was there before while it is there, nothing once it is gone.  SINGLE: what was there before, in any
    case.  VALUE: what was there before, or what a new server makes of it.  PLAIN: what a new server makes of it.
    INCLUDE: it is part of others.
    """

    FOLDER = "folder"
    SINGLE = "single"
    VALUE = "value"
    PLAIN = "plain"
    INCLUDE = "include"


@dataclass(frozen=True)
class Content:
    """The text of a file: whether it can be parsed, used as the main file, and compiled where that is a template."""

    text: str
    parses: bool = True
    usable: bool = True
    compiles: bool = True

    @property
    def is_template(self) -> bool:
        return PY in self.text

    @property
    def includes(self) -> list[str]:
        """The patterns of the files that it includes, relative to the repository."""
        return _INCLUDE.findall(self.text) if self.parses else []

    def placed(self, path: str, base: str = "") -> str:
        """The text as it stands in the file PATH, if what it includes is below BASE."""
        folder = os.path.dirname(path)
        return _INCLUDE.sub(lambda found: f'href="{os.path.relpath(os.path.join(base, found[1]), folder)}"', self.text)


@dataclass(frozen=True)
class Slot:
    """A file that there may be: how it is treated, and what makes a good and a bad text for it."""

    path: str
    kind: Kind
    family: str
    good: Callable[[random.Random], str]
    bad: Callable[[random.Random], Content]


# XML


def some(rng: random.Random, maker: Callable[[random.Random], str], most: int = 4) -> str:
    return "".join(maker(rng) for _ in range(rng.randint(0, most)))


def conditional(
    rng: random.Random, leaf: Callable[[random.Random], str], includes: tuple[str, ...] = (), depth: int = 0
) -> str:
    """A leaf, conditions around some, a comment, an instruction, or an include of one of INCLUDES."""
    choice = rng.random()
    if choice < 0.3 and depth < 3:
        tag, name = rng.choice([("Group", rng.choice(GROUPS)), ("Client", rng.choice(HOSTS))])
        negate = rng.choice(["", "", ' negate="true"', ' negate="false"'])
        inner = some(rng, lambda rng: conditional(rng, leaf, includes, depth + 1))
        return f'<{tag} name="{name}"{negate}>{inner}</{tag}>\n'
    if choice < 0.34:
        return rng.choice(["<!-- nothing -->", "<?nothing at all?>", "\n\n"])
    if choice < 0.44 and includes:
        fallback = rng.choice(["", f"<xi:fallback>{leaf(rng)}</xi:fallback>"])
        return f'<xi:include href="@{rng.choice(includes)}">{fallback}</xi:include>\n'
    return leaf(rng)


def document(
    root: str,
    leaf: Callable[[random.Random], str],
    includes: tuple[str, ...] = (),
    attributes: Callable[[random.Random], str] = lambda _rng: "",
    templates: float = 0.0,
) -> Callable[[random.Random], str]:
    """A maker of files with this ROOT; TEMPLATES: the share of templates."""

    def make(rng: random.Random) -> str:
        template = rng.random() < templates
        inside = "".join(conditional(rng, leaf, includes) for _ in range(rng.randint(1, 7)))
        if template:
            test = rng.choice(["'g1' in metadata.groups", "metadata.hostname == 'c1'", "metadata.Properties"])
            inside += f'<py:if test="{test}">{leaf(rng)}</py:if>'
        return f"<{root} {XI}{' ' + PY if template else ''}{attributes(rng)}>\n{inside}</{root}>\n"

    return make


def priority(rng: random.Random) -> str:
    return f' priority="{rng.choice([-1, 0, 5, 7, 10, 20])}"'


def number(rng: random.Random) -> str:
    return str(rng.randint(0, 99))


def entry(rng: random.Random) -> str:
    """An abstract entry, a bound one, or something else that bundles hold."""
    tag, names = rng.choice([("Path", PATHS), ("Package", PACKAGES), ("Service", SERVICES), ("Action", ("a1", "a2"))])
    name = rng.choice(names)
    return rng.choice(
        [
            f'<{tag} name="{name}"/>',
            f'<{tag} name="{name}"/>',
            f'<{tag} name="{name}" mode="0{number(rng)}"/>',
            f'<{tag} name="{name}" altsrc="{rng.choice(names)}"/>',
            f'<Bound{tag} name="{name}" status="{number(rng)}">text {number(rng)}</Bound{tag}>',
            f'<BoundPOSIXUser name="u{number(rng)}"><Group name="{rng.choice(GROUPS)}"><MemberOf group="x"/></Group>'
            "</BoundPOSIXUser>",
            f'<RequiredBundle name="{rng.choice(BUNDLES)}"/>',
            '<Path glob="/etc/*1"/>',
            '<SEModule name="m1"/>',
        ]
    )


def template_entry(rng: random.Random) -> str:
    return rng.choice(
        [
            '<BoundAction name="t" groups="${\' \'.join(sorted(metadata.groups))}"/>',
            "<BoundAction name=\"v\" value=\"${metadata.Properties['p1.xml'].xdata.get('v')}\"/>",
            "<BoundAction name=\"m\" value=\"${metadata.Properties['p1.xml'].XMLMatch(metadata).findtext('x')}\"/>",
            '<BoundAction name="j" value="${metadata.Properties[\'p2.json\'].json}"/>',
            '<BoundAction name="y" value="${metadata.Properties[\'p3.yaml\'].yaml}"/>',
            '<BoundAction name="h" value="${metadata.TemplateHelper[\'h1\'].value()}"/>',
            '<BoundAction name="d" value="${1 / (0 if \'g3\' in metadata.groups else 1)}"/>',
            '<Service name="${metadata.profile}" py:for="name in metadata.bundles"/>',
        ]
    )


def bundle(*includes: str) -> Callable[[random.Random], str]:
    plain = document(
        "Bundle", entry, includes, lambda rng: rng.choice(["", "", ' independent="true"', f' version="{number(rng)}"'])
    )

    def make(rng: random.Random) -> str:
        text = plain(rng)
        if rng.random() < 0.3:
            text = text.replace(XI, f"{XI} {PY}").replace("</Bundle>\n", some(rng, template_entry) + "</Bundle>\n")
        return text

    return make


def rule(rng: random.Random) -> str:
    tag, names = rng.choice([("Path", PATHS), ("Service", SERVICES), ("Action", ("a1", "a2")), ("Package", PACKAGES)])
    name = rng.choice([*names, names[0][:-1] + "[123]", ".*"])
    inner = rng.choice(["", "", "words", f'<ACL perms="{number(rng)}"/>', '<Group name="g1"><ACL perms="x"/></Group>'])
    return f'<{tag} name="{name}" type="{number(rng)}" owner="o{number(rng)}">{inner}</{tag}>'


def dependency(rng: random.Random) -> str:
    needs = "".join(f'<Service name="{name}"/>' for name in rng.sample(SERVICES, 2))
    return f'<Path name="{rng.choice(PATHS)}"><Group name="{rng.choice(GROUPS)}">{needs}</Group></Path>'


def decision(rng: random.Random) -> str:
    return f'<Decision type="Path" name="{rng.choice(PATHS)}"/>'


def package(rng: random.Random) -> str:
    name = rng.choice(PACKAGES).partition(":")[0]
    instance = f'<Instance arch="{rng.choice(["x86", "arm", "mips"])}" version="{number(rng)}"/>'
    return f'<Package name="{name}" version="{number(rng)}">{rng.choice(["", instance, instance * 2])}</Package>'


def info(rng: random.Random) -> str:
    leaf = f'<Info owner="o{number(rng)}" mode="0{number(rng)}"/>'
    return rng.choice([leaf, f'<Path name="{rng.choice(PATHS)}">{leaf}</Path>', f'<Info group="x{number(rng)}"/>'])


def value(rng: random.Random) -> str:
    return f"<x>{number(rng)}</x>"


def clients(rng: random.Random) -> str:
    def line(host: str) -> str:
        alias = f'<Alias name="{host}-{number(rng)}"/>' if rng.random() < 0.5 else ""
        profile = rng.choice(["p1", "p2"])
        return f'<Client name="{host}" profile="{profile}" address="127.0.3.{host[1]}">{alias}</Client>\n'

    return f"<Clients>{''.join(line(host) for host in HOSTS if host == HOSTS[-1] or rng.random() < 0.9)}</Clients>\n"


def groups(rng: random.Random) -> str:
    def inner(rng: random.Random) -> str:
        return rng.choice(
            [f'<Group name="{rng.choice(GROUPS[:3])}"/>', *(f'<Bundle name="{rng.choice(BUNDLES)}"/>' for _ in "123")]
        )

    lines = [f'<Group name="{name}" profile="true">{some(rng, inner, 7)}</Group>' for name in ("p1", "p2")]
    lines += [f'<Group name="{name}">{some(rng, inner)}</Group>' for name in GROUPS[:3] if rng.random() < 0.7]
    lines += [f'<Client name="{rng.choice(HOSTS)}"><Bundle name="{rng.choice(BUNDLES)}"/></Client>']
    lines += ['<xi:include href="@Include/groups-*.xml"/>'] if rng.random() < 0.5 else []
    return f"<Groups {XI}>" + "\n".join(lines) + "</Groups>\n"


def more_groups(rng: random.Random) -> str:
    name = rng.choice(GROUPS[:3])
    return f'<Groups><Group name="{name}"><Bundle name="{rng.choice(BUNDLES)}"/></Group></Groups>'


def pattern(rng: random.Random) -> str:
    matching = f"<NamePattern>c[{rng.choice('123')}]</NamePattern>"
    return f"<GroupPattern>{matching}<Group>{rng.choice(GROUPS[:3])}</Group></GroupPattern>"


def logic(rng: random.Random) -> str:
    return f'<Group name="{rng.choice(GROUPS[:3])}"/>'


def bad_xml(rng: random.Random) -> Content:
    text = rng.choice(
        [
            "",
            "<Bundle><Path name='/etc/f1'>",
            "<a><b></a></b>",
            "no markup",
            "<!DOCTYPE x [<!ENTITY e 'e'>]><x>&e;</x>",
            "<x>\x01</x>",
            "<x a='1' a='2'/>",
        ]
    )
    return Content(text, parses=False)


def bad_priority(rng: random.Random) -> Content:
    if rng.random() < 0.6:
        return bad_xml(rng)
    attribute = rng.choice(["", ' priority="high"'])
    return Content(f"<Rules{attribute}>{rule(rng)}</Rules>", usable=False)


def bad_template(rng: random.Random) -> Content:
    if rng.random() < 0.7:
        return bad_xml(rng)
    return Content(f'<Bundle {PY}>{entry(rng)}<py:if test="1 +">{entry(rng)}</py:if></Bundle>', compiles=False)


# other files


def plain(rng: random.Random) -> str:
    return f"some text, {number(rng)}\n"


def genshi(rng: random.Random) -> str:
    return rng.choice(
        [
            f"{number(rng)} of ${{metadata.hostname}}, ${{name}}\n",
            "${metadata.TemplateHelper['h1'].value()}\n",
            "${metadata.Properties['p1.xml'].xdata.get('v')}\n",
            "{% include ../../../Include/text %}\n",
            "{% if broken %}\n",
        ]
    )


def jinja2(rng: random.Random) -> str:
    return rng.choice(
        [
            f"{number(rng)} of {{{{ metadata.hostname }}}}\n",
            "{{ helped }} {{ metadata.groups | sort }}\n",
            "{% include 'f1.text' %}{{ path }}\n",
            "{% if %}\n",
        ]
    )


def module(rng: random.Random) -> str:
    return (
        f"__export__ = ['value']\n__default__ = {rng.choice([[], ['helped']])}\n"
        f"helped = {number(rng)}\n\ndef value():\n    return {number(rng)}\n"
    )


def bad_module(rng: random.Random) -> Content:
    return Content(rng.choice(["def (", "raise SystemExit", "value = 1", "import no_such_module"]), usable=False)


def json_value(rng: random.Random) -> str:
    return f'{{"a": {number(rng)}}}'


def bad_value(rng: random.Random) -> Content:
    return Content(rng.choice(["{", "{'a': [", "a: b: c"]), usable=False)


def as_it_is(good: Callable[[random.Random], str]) -> Callable[[random.Random], Content]:
    return lambda rng: Content(good(rng) + "more")


def info_slot(path: str) -> Slot:
    return Slot(path, Kind.PLAIN, "info", document("FileInfo", info, ("Include/info.xml",), templates=0.1), bad_xml)


def _slots() -> list[Slot]:
    slots = []

    def add(kind: Kind, family: str, paths: str, good: Callable[[random.Random], str], bad: Callable) -> None:
        slots.extend(Slot(path, kind, family, good, bad) for path in paths.split())

    add(
        Kind.FOLDER, "bundle", "Bundler/b1.xml Bundler/b2.xml Bundler/b3.xml Bundler/sub/b4.xml Bundler/sub/b2.xml",
        bundle("Include/bundle-1.xml", "Include/bundle-*.xml", "Bundler/part-1.xml", "Bundler/part-*.xml"),
        bad_template,
    )  # fmt: skip
    add(Kind.FOLDER, "part", "Bundler/part-1.xml Bundler/part-2.xml", bundle("Include/bundle-2.xml"), bad_template)
    rules = document("Rules", rule, ("Include/rules-1.xml", "Include/rules-*.xml"), priority, 0.2)
    add(Kind.FOLDER, "rules", "Rules/a.xml Rules/b.xml Rules/sub/c.xml", rules, bad_priority)
    add(Kind.FOLDER, "rules", "Defaults/a.xml Defaults/sub/b.xml", rules, bad_priority)
    deps = document("Dependencies", dependency, ("Include/deps.xml",), priority, 0.2)
    add(Kind.FOLDER, "deps", "Deps/a.xml Deps/b.xml", deps, bad_priority)
    decisions = document("Decisions", decision, ("Include/decisions-*.xml",), templates=0.2)
    add(Kind.FOLDER, "decisions", "Decisions/whitelist.xml Decisions/blacklist.xml", decisions, bad_xml)
    packages = document("PackageList", package, (), priority)
    add(Kind.FOLDER, "packages", "Pkgmgr/a.xml Pkgmgr/sub/b.xml", packages, bad_priority)
    properties = document("Properties", value, ("Include/value.xml",), lambda rng: f' v="{number(rng)}"')
    add(Kind.FOLDER, "properties", "Properties/p1.xml Properties/sub/p1.xml", properties, bad_xml)
    add(Kind.VALUE, "json", "Properties/p2.json", json_value, bad_value)
    add(Kind.VALUE, "yaml", "Properties/p3.yaml", json_value, bad_value)
    add(Kind.VALUE, "module", "TemplateHelper/h1.py TemplateHelper/h2.py", module, bad_module)
    add(Kind.SINGLE, "clients", "Metadata/clients.xml", clients, bad_xml)
    add(Kind.SINGLE, "groups", "Metadata/groups.xml", groups, bad_xml)
    add(Kind.SINGLE, "patterns", "GroupPatterns/config.xml", document("GroupPatterns", pattern), bad_xml)
    add(
        Kind.SINGLE, "logic", "GroupLogic/groups.xml",
        document("GroupLogic", logic, ("Include/logic.xml",), templates=0.3), bad_xml,
    )  # fmt: skip
    for folder in ("Cfg/etc/f1/f1", "Cfg/etc/f2/f2", "Cfg/etc/sub/f3/f3", "SEModules/m1.pp/m1.pp"):
        names = " ".join(folder + suffix for suffix in ("", ".G10_g1", ".G20_g2", ".H_c1"))
        add(Kind.PLAIN, "text", names, plain, as_it_is(plain))
        slots.append(info_slot(f"{os.path.dirname(folder)}/info.xml"))
    add(Kind.PLAIN, "genshi", "Cfg/etc/f1/f1.genshi Cfg/etc/f2/f2.G30_g3.genshi", genshi, as_it_is(genshi))
    add(Kind.PLAIN, "jinja2", "Cfg/etc/f2/f2.jinja2 Cfg/etc/sub/f3/f3.H_c2.jinja2", jinja2, as_it_is(jinja2))
    add(Kind.PLAIN, "include", "Include/text", plain, as_it_is(plain))
    add(Kind.PLAIN, "probe", "Probes/one Probes/one.G10_g1 Probes/two.H_c3", plain, as_it_is(plain))
    add(Kind.INCLUDE, "bundle", "Include/bundle-1.xml", bundle("Include/bundle-2.xml"), bad_xml)
    add(Kind.INCLUDE, "part", "Include/bundle-2.xml", bundle(), bad_xml)
    add(Kind.INCLUDE, "rules", "Include/rules-1.xml Include/rules-2.xml", document("Rules", rule), bad_xml)
    add(Kind.INCLUDE, "groups", "Include/groups-1.xml Include/groups-2.xml", more_groups, bad_xml)
    add(Kind.INCLUDE, "deps", "Include/deps.xml", document("Dependencies", dependency), bad_xml)
    add(Kind.INCLUDE, "decisions", "Include/decisions-1.xml", document("Decisions", decision), bad_xml)
    add(Kind.INCLUDE, "info", "Include/info.xml", document("FileInfo", info), bad_xml)
    add(Kind.INCLUDE, "value", "Include/value.xml", document("Properties", value), bad_xml)
    add(Kind.INCLUDE, "logic", "Include/logic.xml", document("GroupLogic", logic), bad_xml)
    return slots


#: Folders that may be moved as a whole, and where to.
FOLDERS = {"Bundler/sub": "Bundler/other", "Rules/sub": "Rules/other", "Cfg/etc": "Cfg/usr", "Pkgmgr/sub": "Pkgmgr/new"}

SLOTS = {slot.path: slot for slot in _slots()}
SLOTS |= {
    slot.path: slot
    for here, there in FOLDERS.items()
    for slot in (
        replace(slot, path=there + path.removeprefix(here))
        for path, slot in SLOTS.items()
        if path.startswith(f"{here}/")
    )
}
