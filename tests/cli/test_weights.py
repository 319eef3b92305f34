"""`polytalk weights` as users type it."""

import pytest
from hub_server import Hub
from typer.testing import CliRunner

from polytalk.cli.app import app


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["weights", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("weights") / "tiny"
    run("synthesize", target, "--size", "tiny", "--quiet")
    return target


def test_list_names_repositories_and_sets():
    listed = run("list")
    assert "wan-480p" in listed
    assert "480p: wan-480p, multitalk, wav2vec2" in listed


def test_verify_prints_a_line_per_part(folder):
    assert "all 6 parts are right" in run("verify", folder)


def test_verify_fails_when_a_part_is_wrong(folder, tmp_path):
    import shutil

    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "Wan2.1-I2V-14B-480P" / "Wan2.1_VAE.pth").unlink()
    output = run("verify", broken, code=2)
    assert "WRONG" in output
    assert "1 of 6 parts are not right" in output


def test_convert_says_what_it_wrote(folder, tmp_path):
    output = run("convert", folder, tmp_path / "own", "--quantization", "int8")
    assert "transformer: blocks.1" in output
    assert "all 6 parts are right" in run("verify", tmp_path / "own")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["synthesize", "{folder}", "--size", "tiny"], "already"),
        (["synthesize", "{new}", "--size", "1.3b"], "unknown"),
        (["synthesize", "{new}", "--size", "tiny", "--dtype", "float8"], "unknown"),
        (["download", "wan-1.3b"], "catalogue"),
        (["verify", "{new}"], "no such folder"),
        (["convert", "{folder}", "{new}", "--quantization", "fp8"], "not written"),
        (["convert", "{new}", "{new}"], "no such folder"),
    ],
)
def test_bad_input_is_one_line(folder, tmp_path, arguments, said):
    output = run(*(text.format(folder=folder, new=tmp_path / "new") for text in arguments), code=2)
    assert "Error: " in output
    assert said in output


def test_a_large_write_is_not_started_unasked(tmp_path, monkeypatch):
    monkeypatch.setattr("polytalk.weights.synthesize.free_bytes", lambda path: 10**15)
    assert "--yes" in run("synthesize", tmp_path / "new", code=2)
    assert not (tmp_path / "new").exists()


def test_download_says_what_and_how_much_and_how_to_use_it(tmp_path, monkeypatch):
    path = "FusionX_LoRa/Wan2.1_I2V_14B_FusionX_LoRA.safetensors"
    with Hub({("vrgamedevgirl84/Wan14BT2VFusioniX", "main"): {path: b"w" * 5000}}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        asked = run("download", "fusionx", "--to", tmp_path, code=2)
        assert "1 files, 0.0 GB; to download: 1" in asked
        assert path in asked
        assert "--yes" in asked
        assert not hub.requests
        output = run("download", "fusionx", "--to", tmp_path, "--yes")
    target = tmp_path / "Wan14BT2VFusioniX" / path
    assert target.read_bytes() == b"w" * 5000
    assert f"--lora {target}" in output


def test_download_without_a_connection_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    output = run("download", "480p", "--to", tmp_path, "--yes", code=2)
    assert "the Hugging Face hub cannot be reached" in output
