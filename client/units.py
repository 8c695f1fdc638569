"""Service definitions: what starts the agent with the machine, keeps it running, and keeps it in its place."""

import os
import plistlib
import sys
from pathlib import Path

from client.config import AgentHome
from shared.errors import InputError

LABEL = "dev.covey.agent"


def render(kind: str, home: AgentHome) -> str:
    """A systemd service or socket, or a launchd property list, for the agent in `home`; `InputError` for another kind."""
    kinds = {"systemd": systemd, "systemd-socket": systemd_socket, "launchd": launchd}
    if kind not in kinds:
        raise InputError(f"there is no unit for {kind!r}; ask for one of {sorted(kinds)}")
    settings = home.settings()
    data = [Path(grant.data).resolve() for grant in settings.tasks.values() if grant.data]
    return kinds[kind](home.path.resolve(), data)


def systemd(home: Path, data: list[Path]) -> str:
    """A user unit (`~/.config/systemd/user/covey-agent.service`): it can write to its directory and nowhere else."""
    beside = sorted({str(path if path.is_dir() else path.parent) for path in data})
    return f"""\
[Unit]
Description=Covey agent: predicts, and learns under a privacy budget
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=simple
ExecStart={_quoted(sys.executable)} -m client run --home {_quoted(str(home))}
Restart=always
RestartSec=100ms
TimeoutStopSec=10
KillMode=mixed
UMask=0077
Nice=5

# It needs its own directory, and the rows' directory for the quarantine beside them.
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={" ".join(_path(path) for path in [str(home), *beside])}
PrivateTmp=yes
PrivateDevices=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
MemoryMax=4G
OOMPolicy=continue
TasksMax=256

[Install]
WantedBy=default.target
"""


def systemd_socket(home: Path, _data: list[Path]) -> str:
    """The socket that systemd holds (`covey-agent.socket`): who asks during a restart waits, and nobody is refused."""
    return f"""\
[Unit]
Description=Covey agent: where predictions are asked for

[Socket]
ListenStream={_specifiers(str(home / "agent.sock"))}
SocketMode=0600

[Install]
WantedBy=sockets.target
"""


def launchd(home: Path, _data: list[Path]) -> str:
    """A property list (`~/Library/LaunchAgents/dev.covey.agent.plist`)."""
    document = {
        "Label": LABEL,
        "ProgramArguments": [sys.executable, "-m", "client", "run", "--home", str(home)],
        "RunAtLoad": True,
        "KeepAlive": True,
        "ProcessType": "Background",
        "LowPriorityIO": True,
        "Nice": 5,
        "Umask": 0o077,
        "ThrottleInterval": 5,
        "ExitTimeOut": 10,
        "WorkingDirectory": str(home),
        "StandardErrorPath": os.fspath(home / "agent.stderr"),
    }
    return plistlib.dumps(document).decode()


def _quoted(text: str) -> str:
    """A word of a systemd command line, whatever is in it."""
    return _path(text).replace("$", "$$")


def _path(text: str) -> str:
    """A path in a list of them: quoted where it holds what systemd would read otherwise."""
    escaped = _specifiers(text.replace("\\", "\\\\").replace('"', '\\"'))
    return f'"{escaped}"' if escaped != text or " " in text else text


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")
