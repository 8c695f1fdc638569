"""A poll rests until there is something to fetch, and no longer."""

import asyncio

from server.mailbox import Mailbox

FOREVER = 3600.0


async def resting(mailbox: Mailbox, node: int) -> asyncio.Task[None]:
    task = asyncio.create_task(mailbox.rest(node))
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_a_delivery_wakes_the_node_that_it_is_for_and_no_other() -> None:
    mailbox = Mailbox(patience=FOREVER)
    first, second = await resting(mailbox, 1), await resting(mailbox, 2)
    mailbox.deliver([1])
    await first
    assert not second.done()
    mailbox.close()
    await second


async def test_mail_that_came_between_two_polls_is_not_missed() -> None:
    mailbox = Mailbox(patience=FOREVER)
    mailbox.deliver([1])
    await mailbox.rest(1)
    await mailbox.rest(1)


async def test_a_node_rests_again_once_it_found_nothing() -> None:
    mailbox = Mailbox(patience=FOREVER)
    mailbox.deliver([1])
    mailbox.empty(1)
    task = await resting(mailbox, 1)
    mailbox.ring()
    await task


async def test_patience_ends() -> None:
    mailbox = Mailbox(patience=0.01)
    await mailbox.rest(1)
    assert not mailbox._waiting


async def test_nobody_rests_at_a_closed_mailbox() -> None:
    mailbox = Mailbox(patience=FOREVER)
    task = await resting(mailbox, 1)
    mailbox.close()
    await task
    await mailbox.rest(2)


async def test_a_poll_that_is_given_up_leaves_nothing_behind() -> None:
    mailbox = Mailbox(patience=FOREVER)
    task = await resting(mailbox, 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not mailbox._waiting
