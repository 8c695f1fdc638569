"""Updates: the signed task, and the newest release, checked and tried before it may serve."""

from typing import TYPE_CHECKING

from client.config import AgentHome
from client.trust import HttpsFetcher, Trust
from shared import wire
from shared.files import write_whole
from shared.tasks import Task

if TYPE_CHECKING:
    from tuf.ngclient import FetcherInterface


def fetch_task(
    home: AgentHome,
    *,
    base_url: str,
    root: bytes,
    ca: bytes,
    name: str | None,
    fetcher: "FetcherInterface | None" = None,
) -> Task:
    """Pin `root` and fetch the signed task called `name`, or the only one there is; kept as `home.task_file`.

    `root` is the first root's JSON and `ca` the authority's PEM, both checked against the invitation's hashes.
    """
    home.root_file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(home.root_file, root)
    trust = Trust(home, base_url=base_url, fetcher=fetcher or HttpsFetcher(ca))
    task = trust.task(name or trust.only_task())
    write_whole(home.task_file, wire.to_json(task))
    return task
