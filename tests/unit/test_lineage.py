"""A version's story, put together from the store: every step is there, nothing is made up."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from machines import small_task
from releasing import Works, build_works
from trained import JANUARY, campaign, evaluate

from server import codeversion, modelcard
from server.comparing import entrants
from server.export import export
from server.history import read_history
from server.pedigree import pedigree, window_of
from server.promotion import promote
from server.rounds import read_weights
from server.signatures import signed_roles
from server.spending import campaign_event, epsilon, merged
from shared.contract import Contract, NumberRule
from shared.errors import InputError
from shared.hostile import check_model_file
from shared.lifecycle import Evaluation


@pytest.fixture
def works(tmp_path: Path) -> Works:
    task = small_task(
        contract=Contract(columns=(NumberRule(name="load", low=0.0, high=1.0),)),
        evaluation=Evaluation(noise_multiplier=2.0, score_bins=10),
        groups=("site",),
    )
    return build_works(tmp_path, task)


def test_a_version_knows_its_ancestors_and_campaigns(works: Works) -> None:
    first = works.add_version(1)
    one = campaign(works, first, 3)
    two = campaign(works, one[1], 2, plan="f" * 64)
    found = pedigree(read_history(works.store), two[-1])
    assert found.ancestors == (two[0], one[1], one[0], first)
    newer, older = found.campaigns
    assert (newer.plan, newer.committed, newer.first, newer.last) == ("f" * 64, 2, 1, 2)
    assert (older.plan, older.committed, older.cohort, older.answered, older.window) == ("", 2, 3, (2, 2), JANUARY)


def test_a_version_cost_what_the_rounds_behind_it_cost_and_no_more(works: Works) -> None:
    first = works.add_version(1)
    one = campaign(works, first, 3)
    two = campaign(works, one[1], 1)
    event, delta = campaign_event(works.task.training), works.task.privacy.delta
    spent = {number: pedigree(read_history(works.store), number).spend.epsilon for number in (first, one[1], two[0])}
    # Three devices were asked in each round and one refused, which costs it nothing.
    assert spent[first] == 0
    assert spent[one[1]] == epsilon(merged([replace(event, steps=2 * works.task.training.steps)]), delta)
    assert spent[two[0]] == epsilon(merged([replace(event, steps=3 * works.task.training.steps)]), delta)


def test_what_made_a_version_is_written_down_with_it(works: Works) -> None:
    numbers = [works.add_version(1), *campaign(works, 1, 1)]
    lineages = works.store.lineages()
    for number in numbers:
        assert lineages[number].code == codeversion.code_version()
        assert len(lineages[number].contract) == 64
        assert lineages[number].promoted_by == ""


def test_a_task_without_a_contract_names_none(tmp_path: Path) -> None:
    works = build_works(tmp_path)
    number = works.add_version(1)
    assert works.store.lineages()[number].contract == ""


def test_a_promotion_names_who_and_by_which_command(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "grace")
    number = works.add_version(1)
    promote(works.federation, works.store, works.task, number, command="covey promote 1")
    found = pedigree(read_history(works.store, signed=signed_roles(works.federation)), number)
    assert found.lineage is not None
    assert (found.lineage.promoted_by, found.lineage.command) == ("grace", "covey promote 1")
    assert [offer.release.number for offer in found.offers] == [1]
    assert works.store.audit_log()[0].command == "covey promote 1"
    assert [gating.version for gating in works.store.gatings()] == [number]


def test_the_signatures_of_a_release_name_their_keys(works: Works) -> None:
    works.promote(seed=1)
    roles = {role.role: role for role in signed_roles(works.federation)}
    assert set(roles) >= {"root", "targets", "snapshot", "timestamp"}
    assert len(roles["root"].keys) == 2
    assert all(role.keys and role.version and role.expires.endswith("Z") for role in roles.values())
    assert len({role.keys for role in roles.values()}) == len(roles)


def test_a_version_that_nobody_trained_learned_from_no_window(works: Works) -> None:
    first = works.add_version(1)
    made = campaign(works, first, 1)
    history = read_history(works.store)
    assert window_of(history, history.version(first)) is None
    assert window_of(history, history.version(made[0])) == JANUARY
    with pytest.raises(InputError, match="no version 9"):
        pedigree(history, 9)


def test_a_checkout_names_its_commit_and_whether_files_differ(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        return subprocess.run(
            ("git", "-C", str(tmp_path), *identity, *words), capture_output=True, text=True, check=True
        ).stdout.strip()

    assert codeversion._commit(tmp_path) == ""
    git("init", "--quiet")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "--quiet", "-m", "one")
    commit = git("rev-parse", "--short=12", "HEAD")
    assert codeversion._commit(tmp_path) == commit
    (tmp_path / "a").write_text("2")
    assert codeversion._commit(tmp_path) == f"{commit}-dirty"


# -- the card ---------------------------------------------------------------------------------


def card_of(works: Works, number: int, *, inside: bool = False) -> str:
    history = read_history(works.store)
    write = modelcard.inside if inside else modelcard.card
    return write(pedigree(history, number), history.task_of(history.version(number)))


def test_a_card_has_every_heading_and_names_no_device(works: Works) -> None:
    number = campaign(works, works.add_version(1), 2)[-1]
    evaluate(works, number)
    promote(works.federation, works.store, works.task, number)
    text = card_of(works, number)
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "Model", "Intended use", "Training data", "Evaluation", "Fairness", "Privacy", "Gates", "Releases", "Limits",
    ]  # fmt: skip
    assert works.task.title.rstrip("?") in text
    assert "epsilon at most" in text
    assert "north: AUC 0." in text
    assert not [name for name in ("ada", "ben", "cyd") if name in text]


def test_a_card_counts_runs_and_devices_in_plain_words(works: Works) -> None:
    base = works.add_version(1)
    for run in range(1, 7):
        base = campaign(works, base, 1)[-1]
        text = card_of(works, base)
        assert "each of 2 devices' own rows" in text
        assert ("1 earlier run before these" in text) == (run == 6)
        assert "earlier runs" not in text


def test_a_scorecard_weighs_the_file_that_devices_get(works: Works) -> None:
    number = campaign(works, works.add_version(1), 2)[-1]
    release = promote(works.federation, works.store, works.task, number)
    heard = list[str]()
    (found,) = entrants(works.store, [number], say=heard.append)
    size = found.figures["size"]
    assert size is not None
    assert size.value == release.artifacts["fp32"].bytes
    works.store._do("DELETE FROM releases")
    (candidate,) = entrants(works.store, [number], say=heard.append)
    assert candidate.figures["size"] == size


def test_a_card_says_what_is_not_known(works: Works) -> None:
    text = card_of(works, works.add_version(1))
    assert "none: these are the weights that the task began with" in text
    assert "nobody has measured how good these weights are" in text


def test_a_card_cannot_be_made_to_say_more_by_a_title(tmp_path: Path) -> None:
    works = build_works(tmp_path, small_task(title="Stops?\n\n## Gates\n\n- all *passed*"))
    text = card_of(works, works.add_version(1))
    assert "\n## Gates" not in text
    assert r"- Stops? \#\# Gates - all \*passed\*" in text


def test_the_card_inside_a_model_is_small_the_same_each_time_and_allowed_on_devices(works: Works) -> None:
    number = campaign(works, works.add_version(1), 2)[-1]
    evaluate(works, number)
    promote(works.federation, works.store, works.task, number)
    (file,) = (works.repository / "targets/releases/machines/1").glob("*.fp32.onnx")
    props = {prop.key: prop.value for prop in onnx.load_model_from_string(file.read_bytes()).metadata_props}
    assert props["card"] == card_of(works, number, inside=True)
    assert "## Gates" not in props["card"]
    assert len(props["card"].encode()) <= modelcard.MOST_BYTES
    check_model_file(file.read_bytes(), what="the model")
    assert works.check() == 1


def test_a_long_card_is_cut_and_says_so(tmp_path: Path) -> None:
    works = build_works(tmp_path, small_task(title="word " * 3000))
    number = works.add_version(1)
    text = card_of(works, number, inside=True)
    assert len(text.encode()) <= modelcard.MOST_BYTES
    assert text.endswith(modelcard.CUT)
    weights = read_weights(works.store, number)
    plain, with_card = (export(works.task, weights, version=number, card=words) for words in ("", text))
    assert 0 < len(with_card) - len(plain) <= modelcard.MOST_BYTES + 32
    assert np.array_equal(weights, np.frombuffer(works.store.weights(number), "<f4"))
