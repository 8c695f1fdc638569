"""`covey models`, `covey gate` and `covey scorecard`, as a person and as a program read them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from machines import small_task
from releasing import Works, build_works
from trained import campaign, evaluate

from server import __main__ as covey_main
from server.tree import ASCII, BOXES, tree
from shared.lifecycle import Evaluation, Gates
from shared.models import ModelVersion, Stage
from shared.tasks import Architecture

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def works(tmp_path: Path) -> Works:
    """Version 1 is untrained; run 1 made 2 to 4 of it, run 2 made 5 and 6 of 3; 4 is released."""
    task = small_task(
        gates=Gates(min_auc=0.7), evaluation=Evaluation(noise_multiplier=2.0, score_bins=10), groups=("site",)
    )
    works = build_works(tmp_path, task)
    works.federation.settings_file.write_text('name = "works"\n')
    made = campaign(works, works.add_version(1), 3)
    campaign(works, made[1], 2, plan="ab" * 32)
    evaluate(works, 4)
    return works


@pytest.fixture
def run(works: Works, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`covey` with these words: its exit status, and what it wrote."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["covey", *words, "--home", str(works.federation.home)])
        with pytest.raises(SystemExit) as left:
            covey_main.main()
        return int(left.value.code or 0), *capsys.readouterr()

    return call


def test_models_alone_still_lists(run: Run) -> None:
    code, out, _ = run("models")
    assert (code, out.splitlines()[0].split()) == (0, ["VERSION", "TASK", "STAGE", "RELEASE", "FROM", "MADE"])
    assert len(out.splitlines()) == 7
    assert [version["number"] for version in json.loads(run("models", "--json")[1])] == [1, 2, 3, 4, 5, 6]


def test_show_tells_all_there_is(run: Run, works: Works) -> None:
    assert run("promote", "4")[0] == 0
    code, out, _ = run("models", "show", "4")
    told = dict(line.strip().split("  ", 1) for line in out.splitlines()[1:])
    told = {name: text.strip() for name, text in told.items()}
    assert code == 0
    assert told["task"] == "machines, revision 1"
    assert told["parent"] == "version 3"
    assert told["run 1"].startswith("local, rounds 1 to 3 (3 committed), cohort 3 of which 2 answered, 2026-01-01 to ")
    assert told["spent"].startswith("epsilon at most ")
    assert told["spent"].endswith("at delta 1e-05, against everyone")
    assert told["contract"] == "none declared"
    assert told["weights"] == works.store.version(4).weights_sha256
    assert told["evaluation"] == "run 104, 3 devices, 2026-01-01 to 2026-02-01"
    assert told["gate: AUC"].startswith("passed; expected at least 0.7, found 0.9")
    assert told["command"] == f"covey promote 4 --home {works.federation.home}"
    assert "release 1" in told
    assert told["signed: targets"].startswith("version ")


def test_show_as_json_holds_the_same(run: Run) -> None:
    run("promote", "4")
    found = json.loads(run("models", "show", "4", "--json")[1])
    assert found["ancestors"] == [3, 2, 1]
    assert [offer["release"]["number"] for offer in found["offers"]] == [1]
    assert {role["role"] for role in found["signed"]} >= {"root", "targets", "snapshot", "timestamp"}
    assert json.loads(run("models", "show", "6", "--json")[1])["campaigns"][0]["plan"] == "ab" * 32


def test_a_version_that_is_not_there_is_one_line(run: Run) -> None:
    for words in (("show", "9"), ("diff", "1", "9"), ("card", "9")):
        code, out, err = run("models", *words)
        assert (code, out) == (1, "")
        assert err == "covey: there is no version 9; `covey models` lists them\n"


def test_diff_names_what_differs_and_how_far_the_weights_lie_apart(run: Run) -> None:
    found = json.loads(run("models", "diff", "4", "6", "--json")[1])
    differs = {row["what"] for row in found["differs"]}
    assert {"parent", "run 1", "run 2", "weights", "evaluation", "AUC"} <= differs
    assert not {"task", "contract", "parameters"} & differs
    assert [layer["layer"] for layer in found["weights"]] == ["weight 1", "bias 1", "all"]
    whole = found["weights"][-1]["l2"] ** 2
    assert whole == pytest.approx(sum(layer["l2"] ** 2 for layer in found["weights"][:-1]))
    assert all(-1 <= layer["cosine"] <= 1 for layer in found["weights"])
    assert "WEIGHTS" in run("models", "diff", "4", "6")[1]
    assert "Nothing tells them apart" in run("models", "diff", "4", "4")[1]


def test_diff_of_what_was_collected_says_so(run: Run) -> None:
    run("models", "gc", "--yes")
    assert "cannot be compared: weights of one of them were collected" in run("models", "diff", "2", "6")[1]


LOG = """\
○ v1  machines, revision 1, first weights
○ v2 to v3  run 1, rounds 1 to 2
├─● v4  run 1, round 3, release 1
○ v5 to v6  run 2, rounds 1 to 2
"""


def test_log_draws_a_line_a_campaign_and_its_branches(run: Run) -> None:
    run("promote", "4")
    assert run("models", "log")[1] == LOG
    assert run("models", "log", "--ascii")[1] == LOG.replace("○", "o").replace("├─", "|-").replace("●", "*")
    assert len(run("models", "log", "--all")[1].splitlines()) == 6
    assert [len(line["members"]) for line in json.loads(run("models", "log", "--json")[1])] == [1, 2, 1, 2]
    assert run("models", "log", "nosuch")[0::2] == (
        1,
        "covey: no task is called 'nosuch'; publish one with `covey task FILE`\n",
    )


def test_what_was_collected_is_not_evaluated(run: Run) -> None:
    run("models", "gc", "--yes")
    code, _, err = run("evaluate", "2", "--detach")
    assert (code, err) == (
        1, "covey: the weights of version 2 were collected by `covey models gc`, so it cannot be evaluated\n"
    )  # fmt: skip


def test_card_is_markdown(run: Run) -> None:
    text = run("models", "card", "4")[1]
    assert text.startswith("# machines, version 4\n\n## Model\n")
    assert json.loads(run("models", "card", "4", "--json")[1])["card"] == text


def test_verify_ends_well_or_names_what_is_wrong(run: Run, works: Works) -> None:
    run("promote", "4")
    code, out, err = run("models", "verify")
    assert (code, out.splitlines()[-1]) == (0, "All of it is as it was made and signed.")
    works.store._do("UPDATE blobs SET data = X'00' WHERE sha256 = ?", works.store.version(4).weights_sha256)
    code, out, err = run("models", "verify")
    assert code == 1
    assert f"weights {works.store.version(4).weights_sha256[:12]} are damaged" in out
    assert err.count("\n") == 1
    assert json.loads(run("models", "verify", "--json")[1])["wrong"]


def test_gc_says_first_and_asks(run: Run, works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = run("models", "gc", "--dry-run")
    assert (code, "would be dropped" in out) == (0, True)
    assert "versions 2, 5" in out
    assert run("models", "gc", "--json")[0] == 1
    monkeypatch.setattr("typer.confirm", lambda *_, **__: (_ for _ in ()).throw(SystemExit(1)))
    assert run("models", "gc")[0] == 1
    assert works.store.weights(2)
    code, out, _ = run("models", "gc", "--yes", "--json")
    assert json.loads(out)["versions"] == [2, 5]
    entry = works.store.audit_log()[0]
    assert (entry.act, entry.command) == ("gc", f"covey models gc --yes --json --home {works.federation.home}")
    assert "nothing to drop" in run("models", "gc", "--yes")[1]
    assert "collected" in run("models", "show", "2")[1]


# -- gate -----------------------------------------------------------------------------------------


def test_gate_exits_by_its_verdicts(run: Run, works: Works) -> None:
    code, out, err = run("gate", "4")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split() == ["VERDICT", "GATE", "EXPECTED", "FOUND"]
    assert "Version 4 passes" in out
    code, out, err = run("gate", "6")
    assert code == 1
    assert err == "covey: version 6 does not pass: AUC undecided\n"
    verdicts = {verdict["name"]: verdict for verdict in json.loads(run("gate", "6", "--json")[1])}
    assert verdicts["AUC"]["undecided"]
    assert len(works.store.gatings(6)) == 2
    assert works.store.releases() == []


# -- the tree -------------------------------------------------------------------------------------


def version(number: int, parent: int, run_id: int, stage: Stage = "candidate") -> ModelVersion:
    return ModelVersion(
        number=number, task="machines", revision=1, run_id=run_id, round_number=number, parent=parent,
        weights_sha256="", stage=stage, created_at=0.0,
    )  # fmt: skip


def test_a_long_line_of_campaigns_is_not_indented() -> None:
    versions = [version(1, 0, 0), *(version(number, number - 1, number) for number in range(2, 40))]
    assert {line.drawn(BOXES) for line in tree(versions)} == {"○"}


def test_branches_of_branches_keep_their_rails() -> None:
    versions = [
        version(1, 0, 0), version(2, 1, 1), version(3, 2, 2), version(4, 2, 3), version(5, 3, 4), version(6, 3, 5, "withdrawn"),
        version(7, 4, 6, "canary"),
    ]  # fmt: skip
    lines = [(line.drawn(ASCII), [v.number for v in line.members]) for line in tree(versions)]
    assert lines == [
        ("o", [1]), ("o", [2]), ("|-o", [3]), ("| |-o", [5]), ("| x", [6]), ("o", [4]), ("c", [7]),
    ]  # fmt: skip


def test_every_version_stands_in_the_tree_once_even_where_parents_are_lost() -> None:
    versions = [version(4, 9, 1), version(5, 4, 1), version(6, 6, 2), version(7, 2, 3)]
    for whole in (False, True):
        members = [v.number for line in tree(versions, whole=whole) for v in line.members]
        assert sorted(members) == [4, 5, 6, 7]
    assert tree([]) == []


# -- the scorecard --------------------------------------------------------------------------------


def test_scorecard_compares_and_says_why(run: Run, works: Works) -> None:
    evaluate(works, 6, edge=0.5)
    code, out, _ = run("scorecard", "4", "6", "--role", "ml")
    assert code == 0
    assert out.splitlines()[0].split()[:3] == ["VERSION", "AUC", "LATENCY"]
    assert "Weights: accuracy" in out
    found = json.loads(run("scorecard", "4", "6", "--weights", "accuracy=1", "--json")[1])
    assert found["scorecard"]["winner"] == 4
    assert {entrant["version"] for entrant in found["entrants"]} == {4, 6}


@pytest.mark.parametrize("words", [("--role", "king"), ("--weights", "speed=1"), ("--weights", "accuracy=-1"), ("9",)])
def test_scorecard_refuses_what_it_does_not_know_in_one_line(words: tuple[str, ...], run: Run) -> None:
    code, out, err = run("scorecard", *words)
    assert (code, out, err.count("\n")) == (1, "", 1)


def test_a_network_of_another_shape_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    works = build_works(tmp_path)
    works.federation.settings_file.write_text('name = "works"\n')
    works.add_version(1)
    larger = small_task(revision=2, architecture=Architecture(kind="mlp", hidden=(4,)))
    works.store.add_task(larger)
    works.task = larger
    works.add_version(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["covey", "--home", str(works.federation.home), "models", "diff", "1", "2"])
        with pytest.raises(SystemExit):
            covey_main.main()
    assert "their networks have different shapes" in capsys.readouterr().out
