"""The `pgsrm` command, run in this process through main()."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml

from pgsrm_plugin import SemanticReward, load_spec
from pgsrm_plugin.cli import integrations, main
from pgsrm_plugin.data.rows import read_records
from pgsrm_plugin.encoders.hashing import HashingEncoder, HashingEncoderSpec
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.spec import parse_spec
from pgsrm_plugin.spec.jsonschema import json_schema
from pgsrm_plugin.spec.shipped import shipped_specs

TOY = """
encoder: {kind: hashing}
terms:
  semantic: {}
  exact_match: {}
weights: {semantic: 1, exact_match: 0}
"""
ROWS = [
    {"prompt": "red+blue", "response": "purple", "reference": "purple", "id": 1},
    {"prompt": "red+blue", "response": "purples", "reference": "purple", "id": 2},
    {"prompt": "red+yellow", "response": "", "reference": ["orange", "amber"], "id": 3},
    {"prompt": "blue+yellow", "response": "green", "reference": "green", "id": 4},
]


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(TOY)
    return path


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# score


@pytest.mark.parametrize("batch_size", [1, 3, 256])
@pytest.mark.parametrize("extension", ["jsonl", "parquet"])
def test_score_adds_the_same_float_columns_to_every_row(
    pgsrm: Any, tmp_path: Path, toy: Path, extension: str, batch_size: int
) -> None:
    rows = [{**row, "reference": row["reference"] if isinstance(row["reference"], list) else [row["reference"]]}
            for row in ROWS]  # fmt: skip
    data, out = write(tmp_path / "in.jsonl", rows), tmp_path / f"out.{extension}"
    result = pgsrm("score", data, "--spec", toy, "--out", out, "--batch-size", batch_size)
    assert (result.status, result.err) == (0, "")
    written = [record.row for record in read_records(out)]
    assert [{name: row[name] for name in rows[0]} for row in written] == rows
    expected = SemanticReward(load_spec(toy)).score([record.sample() for record in read_records(data)])
    assert [{name: row[name] for name in expected.columns()} for row in written] == expected.rows()
    assert all(type(value) is float for row in written for name, value in row.items() if name.startswith("reward"))
    assert written[0]["reward"] == pytest.approx(1.0)
    assert [row["reward/exact_match"] for row in written] == [1.0, 0.0, 0.0, 1.0]
    assert [row["reward/unscorable"] for row in written] == [0.0, 0.0, 1.0, 0.0]


def test_a_scored_file_is_not_scored_over(pgsrm: Any, tmp_path: Path, toy: Path) -> None:
    data, once, twice = tmp_path / "in.jsonl", tmp_path / "once.jsonl", tmp_path / "twice.jsonl"
    data.write_text(json.dumps(ROWS[0]) + "\n")
    assert pgsrm("score", data, "--spec", toy, "--out", once).status == 0
    result = pgsrm("score", once, "--spec", toy, "--out", twice)
    assert (result.status, twice.exists()) == (2, False)
    assert f"{once}:1: there is a column 'reward' already, which scoring would replace" in result.err


def test_score_prints_a_summary(pgsrm: Any, tmp_path: Path, toy: Path) -> None:
    data, out = write(tmp_path / "in.jsonl", ROWS), tmp_path / "out.jsonl"
    result = pgsrm("score", data, "--spec", toy, "--out", out)
    exact = next(line for line in result.out.splitlines() if "reward/exact_match" in line)
    assert re.findall(r"-?\d\.\d+", exact) == ["0.5000", "0.5000", "0.0000", "1.0000"]
    assert f"4 rows (25.0% unscorable, 0.0% truncated) written to {out}" in result.out


def test_score_of_verls_parquet_with_a_shipped_spec(pgsrm: Any, tmp_path: Path) -> None:
    import pyarrow as pa

    row = {
        "data_source": "colours",
        "prompt": [{"role": "user", "content": "red+blue"}],
        "reward_model": {"style": "rule", "ground_truth": "purple"},
        "responses": ["Purple", "green"],
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "in.parquet")
    result = pgsrm("score", tmp_path / "in.parquet", "--spec", "binary", "--out", tmp_path / "out.parquet")
    assert result.status == 0
    written = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["response"], row["reward"]) for row in written] == [("Purple", 1.0), ("green", 0.0)]
    assert written[0]["prompt"] == row["prompt"]


def test_groups_are_not_split_between_batches(pgsrm: Any, tmp_path: Path) -> None:
    spec = tmp_path / "group.yaml"
    spec.write_text("{terms: {exact_match: {}}, aggregate: group_normalised}")
    rows = [{"prompt": "p", "response": text, "reference": "a"} for text in ("a", "b", "a", "b")]
    out = tmp_path / "out.jsonl"
    assert (
        pgsrm("score", write(tmp_path / "in.jsonl", rows), "--spec", spec, "--out", out, "--batch-size", 1).status == 0
    )
    assert [record.row["reward"] for record in read_records(out)] == [1.0, -1.0, 1.0, -1.0]


def test_lone_surrogates_are_scored_and_written(pgsrm: Any, tmp_path: Path, toy: Path) -> None:
    data = tmp_path / "in.jsonl"
    data.write_text('{"prompt": "\\ud800", "response": "pur\\udfffple", "reference": "purple"}\n')
    for extension in ("jsonl", "parquet"):
        assert pgsrm("score", data, "--spec", toy, "--out", tmp_path / f"out.{extension}").status == 0
    assert read_records(tmp_path / "out.jsonl")[0].response == "pur\udfffple"


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"response": 3, "reference": "a"}, "field 'response' must be text, not the number 3"),
        ({"response": "r"}, "field 'reference' is missing, and term 'semantic' compares with it"),
        ({"response": "r", "reference": " "}, "field 'reference': number 1 (' ') is empty"),
    ],
)
def test_a_bad_row_exits_with_2_and_writes_nothing(
    pgsrm: Any, tmp_path: Path, toy: Path, row: dict[str, Any], complaint: str
) -> None:
    out = tmp_path / "out.jsonl"
    result = pgsrm(
        "score", write(tmp_path / "in.jsonl", [ROWS[0], {"prompt": "p", **row}]), "--spec", toy, "--out", out
    )
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"pgsrm: {tmp_path}/in.jsonl:2: {complaint}")
    assert not out.exists()


def test_data_is_checked_before_an_encoder_is_loaded(pgsrm: Any, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("{encoder: {kind: hf, model: ./no-such-folder}, terms: {semantic: {}}}")
    data = write(tmp_path / "in.jsonl", [{"prompt": "p", "response": "r"}])
    result = pgsrm("score", data, "--spec", spec, "--out", tmp_path / "out.jsonl")
    assert (result.status, "field 'reference' is missing" in result.err) == (2, True)


def test_an_unscorable_response_is_named_by_its_line(pgsrm: Any, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("{terms: {exact_match: {}}, unscorable: raise}")
    data, out = write(tmp_path / "in.jsonl", ROWS), tmp_path / "out.jsonl"
    result = pgsrm("score", data, "--spec", spec, "--out", out, "--batch-size", 2)
    assert result.status == 2
    assert result.err.startswith(f"pgsrm: {data}:3: the response '' cannot be scored")
    assert not out.exists()


def test_a_failing_scorer_exits_with_3_and_writes_nothing(pgsrm: Any, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "{encoder: {kind: http, base_url: 'http://127.0.0.1:9/v1', model: m, retries: 0, deadline_s: 5},"
        " terms: {semantic: {}}}"
    )
    data, out = write(tmp_path / "in.jsonl", ROWS), tmp_path / "out.jsonl"
    result = pgsrm("score", data, "--spec", spec, "--out", out)
    assert (result.status, result.out) == (3, "")
    assert "Traceback" not in result.err
    assert [entry.name for entry in sorted(tmp_path.iterdir())] == ["in.jsonl", "spec.yaml"]


@pytest.fixture
def dying_server() -> Iterator[str]:
    """An embeddings endpoint that answers one request, and lets every later one wait until the test is over."""
    over = threading.Event()
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
            asked.append(self.path)
            if len(asked) > 1:
                over.wait(30)
                return
            vectors = [{"index": i, "embedding": [1.0, float(len(text))]} for i, text in enumerate(texts)]
            body = json.dumps({"data": vectors}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_encoder_that_times_out_half_way_leaves_nothing(pgsrm: Any, tmp_path: Path, dying_server: str) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"{{encoder: {{kind: http, base_url: '{dying_server}', model: m, retries: 0, timeout_s: 0.5, deadline_s: 2}},"
        " terms: {semantic: {}}}"
    )
    data, out = write(tmp_path / "in.jsonl", ROWS), tmp_path / "out.jsonl"
    out.write_text("of an earlier run")
    result = pgsrm("score", data, "--spec", spec, "--out", out, "--batch-size", 2)
    assert (result.status, result.out) == (3, "")
    assert dying_server in result.err
    assert out.read_text() == "of an earlier run"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl", "spec.yaml"]


def test_a_corrupt_parquet_exits_with_2(pgsrm: Any, tmp_path: Path, toy: Path) -> None:
    (tmp_path / "in.parquet").write_bytes(b"PAR1" + b"\0" * 100 + b"PAR1")
    result = pgsrm("score", tmp_path / "in.parquet", "--spec", toy, "--out", tmp_path / "out.jsonl")
    assert result.status == 2
    assert result.err.startswith(f"pgsrm: {tmp_path}/in.parquet: not a readable parquet file, or a damaged one (")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_response_of_a_megabyte_is_cut_and_counted(pgsrm: Any, tmp_path: Path, toy: Path) -> None:
    rows = [ROWS[0], {**ROWS[0], "response": "purple " * 150_000}]
    out = tmp_path / "out.jsonl"
    result = pgsrm("score", write(tmp_path / "in.jsonl", rows), "--spec", toy, "--out", out)
    assert "2 rows (0.0% unscorable, 50.0% truncated)" in result.out
    assert [record.row["reward/truncated"] for record in read_records(out)] == [0.0, 1.0]


def test_paths_are_checked_before_scoring(pgsrm: Any, tmp_path: Path, toy: Path) -> None:
    data = write(tmp_path / "in.jsonl", ROWS)
    (tmp_path / "link.jsonl").symlink_to(data)
    for out, complaint in {
        data: "is the input file itself; give another name",
        tmp_path / "link.jsonl": "is the input file itself; give another name",
        tmp_path / "out.csv": "the extension must be .jsonl or .parquet",
        tmp_path / "none" / "out.jsonl": "there is no folder",
    }.items():
        result = pgsrm("score", data, "--spec", toy, "--out", out)
        assert (result.status, complaint in result.err) == (2, True), result.err
    assert [json.loads(line) for line in data.read_text().splitlines()] == ROWS


def test_a_column_that_parquet_cannot_hold_is_refused_before_scoring(pgsrm: Any, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("{encoder: {kind: hf, model: ./no-such-folder}, terms: {semantic: {}}}")
    data = write(tmp_path / "in.jsonl", ROWS)
    result = pgsrm("score", data, "--spec", spec, "--out", tmp_path / "out.parquet")
    assert (result.status, "column 'reference' mixes types" in result.err) == (2, True)


def test_debug_shows_the_error_itself(tmp_path: Path, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSRM_DEBUG", "0")
    with pytest.raises(DataError, match="there is no such file"):
        main(["--debug", "score", "none.jsonl", "--spec", str(toy), "--out", str(tmp_path / "out.jsonl")])


# spec


def test_a_misspelt_spec_name_lists_the_shipped_ones(pgsrm: Any) -> None:
    result = pgsrm("spec", "check", "pgsmr")
    assert (result.status, result.err) == (
        2,
        "pgsrm: pgsmr: there is no such spec file; did you mean 'pgsrm'? "
        "(shipped specs: binary, guarded-credit, guarded, likelihood, pgsrm-affine, pgsrm-exact, pgsrm-qwen3, pgsrm, "
        "recall-guarded, semantic-gsm8k, semantic)\n",
    )


def test_spec_check_says_what_a_spec_does(pgsrm: Any) -> None:
    result = pgsrm("spec", "check", "semantic")
    assert result.status == 0
    lines = result.out.splitlines()
    assert lines[0].endswith("recipes/rewards/semantic.yaml: valid")
    assert "  term       semantic, weight 0.6" in lines
    assert "  term       length, weight 0 (logged only)" in lines
    assert lines[-1] == "  range      worst possible reward 0, best 1"


def test_spec_check_exits_with_2_on_a_bad_spec(pgsrm: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("terms:\n  semantic:\n    alhpa: 2\n")
    result = pgsrm("spec", "check", path)
    assert result.status == 2
    assert result.err.startswith(f"pgsrm: {path}:3: terms.semantic.alhpa: unknown key; did you mean 'alpha'?")


def test_spec_check_load_builds_the_encoder(pgsrm: Any, toy: Path) -> None:
    assert pgsrm("spec", "check", toy, "--load").out.splitlines()[-1] == "  loaded     hashing:n3-d256"


def test_reward_range_counts_penalties_down() -> None:
    spec = parse_spec(
        "{terms: {exact_match: {}, repetition: {}, length: {mode: relative, unit: chars}},"
        " weights: {exact_match: 2, repetition: -0.5, length: 0}}"
    )
    assert spec.aggregate.reach(spec.weighed) == (-0.5, 2.0)


def test_schema_is_written(pgsrm: Any, tmp_path: Path) -> None:
    printed = pgsrm("spec", "schema").out
    assert pgsrm("spec", "schema", "--out", tmp_path / "schema.json").status == 0
    assert (tmp_path / "schema.json").read_text() == printed
    assert pgsrm("spec", "schema", "--out", tmp_path / "none" / "schema.json").status == 2


def test_shipped_specs_satisfy_the_schema_and_wrong_ones_do_not() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(json_schema())
    for path in shipped_specs().values():
        validator.validate(yaml.safe_load(path.read_text()))
    named = {"kind": "length", "mode": "relative", "unit": "chars"}
    good = [
        {"terms": {"exact_match": None}},
        {"terms": {"mine": named, "length": {"mode": "relative", "unit": "words"}}},
    ]
    bad: list[dict[str, Any]] = [
        {"terms": {"mine": {"mode": "relative", "unit": "chars"}}},
        {"terms": {"semantic": {"alhpa": 2}}},
        {"terms": {"length": {"kind": "length"}}},
        {"terms": {"exact_match": {}}, "encoder": {"model": "m"}},
        {"terms": {}},
        {"term": {"exact_match": {}}},
    ]
    assert [list(validator.iter_errors(spec)) for spec in good] == [[], []]
    assert all(list(validator.iter_errors(spec)) for spec in bad)
    for spec in good:
        parse_spec(json.dumps(spec))


# calibrate


def test_calibrate_prints_a_floor_that_a_spec_takes(pgsrm: Any, tmp_path: Path, toy: Path) -> None:
    data = write(tmp_path / "in.jsonl", [*ROWS, {"prompt": "blue+red", "reference": "purple"}])
    result = pgsrm("calibrate", data, "--spec", toy)
    assert result.status == 0
    floor = yaml.safe_load(result.out)["floor"]
    encoder = HashingEncoder(HashingEncoderSpec())
    # Two prompts share the reference "purple", which is not compared with itself; orange and amber are of one prompt.
    with_purple = [("purple", "orange"), ("purple", "amber"), ("purple", "green")]
    texts = [*with_purple, *with_purple, ("orange", "green"), ("amber", "green")]
    cosines = [float(torch.nn.functional.cosine_similarity(*encoder.encode(pair).vectors_ND, dim=0)) for pair in texts]
    assert floor == {"value": pytest.approx(sum(cosines) / 8, abs=1e-4), "encoder": encoder.identity, "pairs": 8}
    assert f"median {sum(sorted(cosines)[3:5]) / 2:.4f}" in result.out
    calibrated = {"semantic": {"transform": "calibrated", "floor": floor}}
    parse_spec(json.dumps({"encoder": {"kind": "hashing"}, "terms": calibrated}))


@pytest.mark.parametrize("floor", ["", ", floor: {value: 0.1, encoder: another}"])
def test_a_calibrated_spec_can_be_calibrated(pgsrm: Any, tmp_path: Path, floor: str) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"{{encoder: {{kind: hashing}}, terms: {{semantic: {{transform: calibrated{floor}}}}}}}")
    result = pgsrm("calibrate", write(tmp_path / "in.jsonl", ROWS), "--spec", spec, "--pairs", 2)
    assert (result.status, yaml.safe_load(result.out)["floor"]["pairs"]) == (0, 2)


def test_each_part_gets_a_block_of_its_own(pgsrm: Any, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("encoder: {kind: hashing}\nterms: {semantic: {}, claims: {}, exact_match: {}}\n")
    result = pgsrm("calibrate", write(tmp_path / "in.jsonl", ROWS), "--spec", spec)
    assert result.status == 0, result.err
    assert [*map(list, yaml.safe_load_all(result.out))] == [["floor"], ["floor"]]
    assert [line for line in result.out.splitlines() if line.startswith("# paste")] == [
        "# paste into terms.semantic:",
        "# paste into terms.claims:",
    ]


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([{"prompt": "p"}], "at least 2 distinct ones, not 0"),
        ([{"prompt": "p", "reference": "a"}, {"prompt": "q", "reference": "a"}], "at least 2 distinct ones, not 1"),
        ([{"prompt": "p", "reference": ["a", "b"]}], "references of at least 2 different prompts"),
    ],
)
def test_too_few_references_cannot_be_calibrated(
    pgsrm: Any, tmp_path: Path, toy: Path, rows: list[dict[str, Any]], complaint: str
) -> None:
    result = pgsrm("calibrate", write(tmp_path / "in.jsonl", rows), "--spec", toy)
    assert (result.status, complaint in result.err) == (2, True), result.err


def test_a_spec_without_a_setting_to_measure_cannot_be_calibrated(pgsrm: Any, tmp_path: Path) -> None:
    result = pgsrm("calibrate", write(tmp_path / "in.jsonl", ROWS), "--spec", "binary")
    assert (result.status, "no term or guard of the spec has a setting to measure" in result.err) == (2, True)


# the command itself


def test_help_and_version_need_no_torch() -> None:
    code = (
        "import sys\nfrom pgsrm_plugin.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit:\n"
        "    print('heavy:', sorted({'torch', 'transformers', 'pyarrow', 'lightning'} & set(sys.modules)))"
    )
    for argument in ("--help", "--version"):
        ran = subprocess.run(
            [sys.executable, "-c", code, argument], capture_output=True, text=True, check=True, timeout=60
        )
        assert ran.stdout.endswith("heavy: []\n"), ran.stdout
    assert ran.stdout.startswith("pgsrm-plugin 0.")


def test_the_command_is_also_a_module_of_the_interpreter() -> None:
    command = [sys.executable, "-m", "pgsrm_plugin.cli", "scor"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, "Usage: pgsrm " in ran.stderr) == (2, True), ran.stderr


def test_a_misspelt_command_gets_a_suggestion(pgsrm: Any) -> None:
    result = pgsrm("scor")
    assert result.status == 2
    assert "Did you mean 'score'" in result.err


def entry_point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, integrations.GROUP)


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good_plugin.py").write_text("def run(ctx):\n    print('got', ctx.args)\n    raise SystemExit(7)\n")
    (tmp_path / "broken_plugin.py").write_text("raise ValueError('half installed')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    points = [
        entry_point("good", "good_plugin:run"),
        entry_point("broken", "broken_plugin:run"),
        entry_point("train", "not_installed_at_all:run [lightning]"),
        entry_point("score", "good_plugin:run"),
    ]
    monkeypatch.setattr(integrations, "entry_points", lambda group: points)


def test_an_integration_gets_its_arguments_as_given(pgsrm: Any, plugins: None) -> None:
    result = pgsrm("good", "--help", "fit", "--model.lr", "1", "--", "-x")
    assert (result.status, result.out) == (7, "got ['--help', 'fit', '--model.lr', '1', '--', '-x']\n")


def test_an_integration_that_cannot_be_imported_gets_one_sentence(pgsrm: Any, plugins: None) -> None:
    result = pgsrm("train", "fit")
    assert (result.status, result.err) == (
        1,
        "pgsrm: `pgsrm train` cannot start: the module 'not_installed_at_all' is not installed; "
        "install it with `pip install 'not_installed_at_all[lightning]'`\n",
    )
    result = pgsrm("broken")
    assert result.status == 1
    assert "cannot start: ValueError: half installed; reinstall broken_plugin" in result.err


def test_integrations_are_listed_but_cannot_hide_our_own(pgsrm: Any, plugins: None) -> None:
    listing = pgsrm("--help").out
    assert all(name in listing for name in ("good", "broken", "train"))
    assert "Score every row of a file" in listing
