"""A systemd service that starts the coordinator with the machine, keeps it running, and keeps it in its place."""

import sys
from pathlib import Path


def systemd(home: Path, *, user: str = "") -> str:
    """A system unit (`/etc/systemd/system/covey.service`): it can write to the federation's directory and nowhere else.

    `user` runs it; without one the unit is a user's own (`~/.config/systemd/user/`).
    """
    who = f"User={user}\n" if user else ""
    target = "multi-user.target" if user else "default.target"
    return f"""\
[Unit]
Description=Covey coordinator: plans rounds, keeps versions, signs releases
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=300
StartLimitBurst=10

[Service]
Type=simple
{who}ExecStart={word(sys.executable)} -P -m server --home {word(str(home))} serve
Restart=always
RestartSec=1s
TimeoutStopSec=30
# A round's process leaves by itself once the coordinator asks it to.
KillMode=mixed
UMask=0077

# It needs its own directory, and the code that it runs.
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={path(str(home))}
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
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
MemoryMax=8G
OOMPolicy=continue
TasksMax=512

[Install]
WantedBy={target}
"""


def word(text: str) -> str:
    """A word of a systemd command line, whatever is in it."""
    return path(text).replace("$", "$$")


def path(text: str) -> str:
    """A path in a list of them: quoted where it holds what systemd would read otherwise."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if escaped != text or " " in text else text
