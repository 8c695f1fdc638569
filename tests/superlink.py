"""A real SuperLink in a process of its own, which tests may kill, and the run that speaks through it."""

import hashlib
import os
import ssl
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import httpx
from coordinator import free_port, until
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Message, RecordDict

QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
SECRET = b"x" * 32
os.environ.update(QUIET)

BUNDLE = """
[project]
name = "covey-test"
version = "1.0.0"
dependencies = []

[tool.flwr.app]
publisher = "covey"

[tool.flwr.app.components]
serverapp = "hostile.code:app"
clientapp = "hostile.code:app"

[tool.flwr.app.config]
covey-home = "/from/the/bundle"
"""


class SuperLink:
    """Flower's SuperLink on loopback, with TLS, node authentication and its state on disk."""

    def __init__(self, home: Path) -> None:
        from server.pki import create_authority, create_server_certificate

        self.home, self.port = home, free_port()
        home.mkdir(parents=True)
        create_authority(home, name="test")
        create_server_certificate(home, hosts=["127.0.0.1"])
        self.ca = (home / "ca.crt").read_bytes()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.ca.decode())

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.home / "superlink.log").open("ab") as log:
            command = [sys.executable, __file__, str(self.home), str(self.port)]
            environment = os.environ | QUIET | {"PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2]))}
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        until(self._answers)

    def _answers(self) -> bool:
        try:
            with httpx.Client(verify=self.trust) as client:
                return client.get(f"https://{self.address}/health").is_success
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def register(self, key: ec.EllipticCurvePrivateKey) -> int:
        """Let a device in; returns its node id."""
        from flwr.proto.control_pb2 import RegisterNodeRequest

        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        with self._control() as control:
            return int(control.RegisterNode(RegisterNodeRequest(public_key=public, name="device")).node_id)

    def start_run(self, bundle: Path) -> "Run":
        """Start a run from a bundle's directory, and take its ServerApp's place."""
        from flwr.cli.build import build_fab_from_disk
        from flwr.common.serde import fab_to_proto
        from flwr.proto.control_pb2 import StartRunRequest
        from flwr.supercore.fab import Fab

        with warnings.catch_warnings(action="ignore"):
            content = build_fab_from_disk(bundle)
        fab = Fab(hashlib.sha256(content).hexdigest(), content, {})
        with self._control() as control:
            control.StartRun(StartRunRequest(fab=fab_to_proto(fab)))
        return Run(self)

    def _control(self) -> Any:
        from flwr.supercore.control.control_http_client import ControlHttpClient

        return ControlHttpClient.from_server_address(
            self.address, insecure=False, root_certificates=self.ca, interceptors=[]
        )


class Run:
    """The server's side of a run: push an instruction, wait for its reply."""

    def __init__(self, link: SuperLink) -> None:
        from flwr.common.serde import run_from_proto
        from flwr.proto.runtime_pb2 import AcquireTaskRequest, PullTaskInputRequest
        from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor, SuperExecAuthHttpInterceptor
        from flwr.supercore.runtime import RuntimeHttpClient
        from flwr.supercore.task_identity import TaskIdentity
        from flwr.superlink.grid import HttpGrid

        auth = SuperExecAuthHttpInterceptor(
            master_secret=SECRET, protected_methods=frozenset({"/flwr.proto.Runtime/AcquireTask"})
        )
        runtime = RuntimeHttpClient.from_server_address(
            link.address, False, link.ca, [RuntimeVersionHttpInterceptor(component_name="test"), auth]
        )
        with runtime:
            token = runtime.AcquireTask(AcquireTaskRequest(supported_task_types=["flwr-serverapp"])).token
        self.grid = HttpGrid(link.address, False, link.ca, token=token)
        task = self.grid._runtime_client.PullTaskInput(PullTaskInputRequest())
        TaskIdentity.task_id, TaskIdentity.run_id = task.task_id, task.run.run_id
        TaskIdentity.node_id = task.context.node_id
        self.grid.set_run(run_from_proto(task.run))

    def ask(self, node: int, content: RecordDict, kind: str = "train") -> str:
        """Push an instruction to a node once it is online; returns its id."""
        until(lambda: node in self.grid.get_node_ids())
        return str(next(iter(self.grid.push_messages([Message(content, node, kind)]))))

    def reply(self, request: str) -> Message:
        """Wait for the reply to an instruction."""
        found: list[Message] = []
        until(lambda: found.extend(self.grid.pull_messages([request])) or found)
        return found[0]

    def finish(self) -> None:
        """End the run, as a ServerApp that is done does."""
        from flwr.app import Context
        from flwr.common.serde import context_to_proto
        from flwr.proto.runtime_pb2 import PushTaskOutputRequest

        context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={})
        output = PushTaskOutputRequest(context=context_to_proto(context), sub_status="completed", details="")
        self.grid._runtime_client.PushTaskOutput(output)

    def close(self) -> None:
        self.grid.close()


def make_bundle(directory: Path, code: str = "app = None\n") -> Path:
    """Write an app bundle whose components are `code`."""
    (directory / "hostile").mkdir(parents=True)
    (directory / "pyproject.toml").write_text(BUNDLE)
    (directory / "hostile" / "__init__.py").write_text("")
    (directory / "hostile" / "code.py").write_text(code)
    return directory


def serve(home: Path, port: int) -> None:
    """Run the SuperLink in this process."""
    import uvicorn
    from flwr.superlink.auth_plugin import NoOpControlAuthnPlugin
    from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
    from flwr.superlink.config_loader import SuperLinkLifespanConfig
    from flwr.superlink.main import create_app

    files = {"ssl_certfile": str(home / "server.crt"), "ssl_keyfile": str(home / "server.key")}
    certificates = tuple((home / name).read_bytes() for name in ("ca.crt", "server.crt", "server.key"))
    config = SuperLinkLifespanConfig(
        control_address="", health_server_address=None, host="127.0.0.1", port=port, insecure=False,
        certificates=certificates, superexec_auth_secret=SECRET, authn_plugin=NoOpControlAuthnPlugin(),
        event_log_plugin=None, fleet_event_log_plugin=None, enable_event_log=False, artifact_provider=None,
        enable_supernode_auth=True, fleet_api_type="grpc-rere", fleet_api_address=None, simulation=False,
        ssl_ca_certfile=str(home / "ca.crt"), database=str(home / "state.db"), isolation="process",
        runtime_dependency_install=False, **files,
    )  # fmt: skip
    app = create_app(config, SuperLinkLifespan)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False, **files)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
