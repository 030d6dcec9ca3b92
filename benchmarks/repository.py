"""Writes a site of a chosen size: the same for the same shape, and understood by the released server too.

It looks like a real one: operating systems nested in families, roles that ask for bundles, profiles that combine both,
bundles of packages, services, files and directories, files that differ by group and by host, templates that read
metadata and properties, rules by name and by pattern, probes, group patterns.
"""

import random
from dataclasses import dataclass
from pathlib import Path

FAMILIES = {"debian": ("debian-12", "debian-13"), "ubuntu": ("ubuntu-24",), "rhel": ("rhel-9", "rhel-10")}
ROLES = ("web", "db", "mail", "ldap", "build", "store", "desk", "compute", "proxy", "watch")
PLACES = ("ams", "fra", "nyc", "sin")
PLUGINS = "Metadata,Bundler,Cfg,Rules,Probes,Properties,GroupPatterns"
PASSWORD = "secret"

TEMPLATES = {
    "genshi": (
        "# ${metadata.hostname}\n{% for group in sorted(metadata.groups) %}member of ${group}\n{% end %}"
        "domain ${metadata.Properties['site.xml'].xdata.find('domain').text}\n"
    ),
    "jinja2": (
        "# {{ metadata.hostname }}\n{% for group in metadata.groups|sort %}member of {{ group }}\n{% endfor %}"
        "domain {{ metadata.Properties['site.xml'].xdata.find('domain').text }}\n"
    ),
}

CONFIGURATION = """[server]
repository = {folder}/repo
plugins = {plugins}
[rules]
regex = yes
[logging]
syslog = off
[communication]
protocol = xmlrpc/ssl
password = {password}
certificate = {folder}/cert.pem
key = {folder}/key.pem
ca = {folder}/cert.pem
[components]
bcfg2 = https://localhost:{port}
"""


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a site: `entries` per bundle; `templates` is the share of files that are templates (0 to 1)."""

    clients: int = 200
    bundles: int = 60
    entries: int = 30
    templates: float = 0.15
    engines: tuple[str, ...] = ("genshi",)
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Client:
    """A client of the site: it calls from `address` and has to get so many bundles."""

    name: str
    address: str
    bundles: int


def write_site(folder: Path, shape: Shape, port: int) -> list[Client]:
    """Write ``repo/`` and ``bcfg2.conf`` for a server on PORT into FOLDER; return the clients."""
    site = _Site(folder / "repo", shape)
    clients = site.write()
    (folder / "bcfg2.conf").write_text(
        CONFIGURATION.format(folder=folder, plugins=PLUGINS, password=PASSWORD, port=port)
    )
    return clients


class _Site:
    """One site while it is written."""

    def __init__(self, repo: Path, shape: Shape) -> None:
        self.repo = repo
        self.shape = shape
        self.random = random.Random(shape.seed)
        self.bundles = [f"bundle{number:03d}" for number in range(shape.bundles)]
        common = max(1, shape.bundles // 6)
        self.common, special = self.bundles[:common], self.bundles[common:]
        share = max(1, len(special) // 5)
        self.by_role = {
            role: [special[(number * share + k) % len(special)] for k in range(share)] if special else []
            for number, role in enumerate(ROLES)
        }

    def _put(self, relative: str, text: str) -> None:
        path = self.repo / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def write(self) -> list[Client]:
        self._put("Metadata/groups.xml", self._groups())
        clients = self._clients()
        for bundle in self.bundles:
            self._put(f"Bundler/{bundle}.xml", self._bundle(bundle))
        self._put(
            "Rules/services.xml",
            '<Rules priority="10"><Service name="[a-z0-9]+-service[0-9]+" type="systemd" status="on"/></Rules>',
        )
        packages = "".join(
            f'<Group name="{family}"><Package name=".*" type="{"yum" if family == "rhel" else "deb"}" version="auto"/>'
            "</Group>"
            for family in FAMILIES
        )
        self._put("Rules/packages.xml", f'<Rules priority="5">{packages}</Rules>')
        self._put("Probes/system", "#!/bin/sh\necho group:probed-linux\nuname -r\n")
        self._put("Probes/processors", "#!/bin/sh\nnproc\n")
        servers = "".join(f'<Group name="place-{place}"><ntp>ntp.{place}.example.com</ntp></Group>' for place in PLACES)
        self._put("Properties/site.xml", f"<Properties>{servers}<domain>example.com</domain></Properties>")
        patterns = "".join(
            f"<GroupPattern><NamePattern>^{role}[0-9]+[.]</NamePattern><Group>named-{role}</Group></GroupPattern>"
            for role in ROLES
        )
        self._put("GroupPatterns/config.xml", f"<GroupPatterns>{patterns}</GroupPatterns>")
        return clients

    def _groups(self) -> str:
        lines = ["<Groups>"]
        for family, systems in FAMILIES.items():
            lines.append(f'<Group name="{family}"><Group name="linux"/></Group>')
            lines += [f'<Group name="{name}" category="os"><Group name="{family}"/></Group>' for name in systems]
        lines.append(f'<Group name="linux">{_bundle_list(self.common)}</Group>')
        lines += [f'<Group name="place-{place}" category="place"/>' for place in PLACES]
        for role, bundles in self.by_role.items():
            lines.append(f'<Group name="{role}" category="role">{_bundle_list(bundles)}</Group>')
            lines += [f'<Group name="named-{role}"/>']
            lines += [
                f'<Group name="{role}-{system}" profile="true" public="true"><Group name="{role}"/>'
                f'<Group name="{system}"/></Group>'
                for systems in FAMILIES.values()
                for system in systems
            ]
        return "\n".join([*lines, "</Groups>"])

    def _clients(self) -> list[Client]:
        systems = [system for members in FAMILIES.values() for system in members]
        clients, lines = [], []
        for number in range(self.shape.clients):
            role = ROLES[number % len(ROLES)]
            address = f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"
            name, profile = f"{role}{number}.example.com", f"{role}-{self.random.choice(systems)}"
            clients.append(Client(name, address, len(self.common) + len(self.by_role[role])))
            lines.append(f'<Client name="{name}" address="{address}" profile="{profile}"/>')
        self._put("Metadata/clients.xml", "\n".join(["<Clients>", *lines, "</Clients>"]))
        return clients

    def _bundle(self, name: str) -> str:
        lines = ["<Bundle>"]
        for number in range(self.shape.entries):
            kind = self.random.random()
            if kind < 0.45:
                lines.append(f'<Package name="{name}-package{number}"/>')
            elif kind < 0.55:
                lines.append(f'<Service name="{name}-service{number}"/>')
            elif kind < 0.85:
                lines.append(f'<Path name="/etc/{name}/part{number}.conf"/>')
                self._file(f"etc/{name}/part{number}.conf")
            elif kind < 0.95:
                lines.append(
                    f'<BoundPath name="/srv/{name}/{number}" type="directory" owner="root" group="root" mode="0755"/>'
                )
            else:
                family = self.random.choice(list(FAMILIES))
                lines.append(f'<Group name="{family}"><Package name="{name}-{family}{number}"/></Group>')
        return "\n".join([*lines, "</Bundle>"])

    def _file(self, path: str) -> None:
        chance = self.random.random
        base = f"Cfg/{path}/{Path(path).name}"
        text = "".join(
            f"setting{number} = {self.random.randrange(10**6)}\n" for number in range(self.random.randrange(5, 60))
        )
        if chance() < self.shape.templates:
            engine = self.random.choice(self.shape.engines)
            self._put(f"{base}.{engine}", TEMPLATES[engine] + text)
        else:
            self._put(base, text)
            if chance() < 0.2:
                self._put(f"{base}.G50_{self.random.choice(ROLES)}", f"{text}# for a role\n")
            if chance() < 0.05:
                self._put(f"{base}.H_web0.example.com", f"{text}# for a host\n")
        if chance() < 0.3:
            self._put(f"Cfg/{path}/info.xml", '<FileInfo><Info owner="root" group="daemon" mode="0640"/></FileInfo>')


def _bundle_list(names: list[str]) -> str:
    return "".join(f'<Bundle name="{name}"/>' for name in names)
